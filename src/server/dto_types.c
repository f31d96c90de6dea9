/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of request bodies (protocol 3, 4, 11). See dto.h. */
#include "server/dto.h"

#include "base/attr.h"

#define MUST true
#define MAY false
#define FIELD(json, type, req, of, go_type) \
	{ \
		json, of, go_type, type, req, false \
	}
#define S(json, req) FIELD(json, DTO_STRING, req, NULL, NULL)
#define F(json, type, req) FIELD(json, type, req, NULL, NULL)
#define O(json, type, req, of) FIELD(json, type, req, of, NULL)
#define DTO(var, name, package, fields) \
	const struct dto var = { name, package, fields, ARRAY_LEN(fields) }
#define LOCAL_DTO(var, name, package, fields) \
	static const struct dto var = { name, package, fields, ARRAY_LEN(fields) }

static const struct dto_field job_state[] = {
	FIELD("state", DTO_STRING, MUST, NULL, "models.JobState"),
	S("errorMessage", MAY),
};
DTO(dto_job_state, "UpdateJobStateDTO", "services", job_state);

static const struct dto_field property[] = {
	FIELD("type", DTO_STRING, MAY, NULL, "models.TargetConfigPropertyType"),
	F("inputMasked", DTO_BOOL, MAY),
	S("disabledPredicate", MAY),
	S("defaultValue", MAY),
	S("description", MAY),
	F("options", DTO_STRINGS, MAY),
	F("suggestions", DTO_STRINGS, MAY),
};
LOCAL_DTO(dto_property, "TargetConfigProperty", "models", property);

static const struct dto_field provider[] = {
	S("runnerId", MUST),
	S("runnerName", MUST),
	S("name", MUST),
	S("version", MUST),
	F("agentlessTarget", DTO_BOOL, MAY),
	S("label", MAY),
	FIELD("targetConfigManifest", DTO_OBJECT_MAP, MUST, &dto_property,
	      "models.TargetConfigManifest"),
};
LOCAL_DTO(dto_provider, "ProviderInfo", "models", provider);

static const struct dto_field runner_metadata[] = {
	F("uptime", DTO_UINT64, MUST),
	F("runningJobs", DTO_UINT64, MAY),
	O("providers", DTO_OBJECTS, MUST, &dto_provider),
};
DTO(dto_runner_metadata, "UpdateRunnerMetadataDTO", "dto", runner_metadata);

static const struct dto_field create_runner[] = {
	S("id", MUST),
	S("name", MUST),
};
DTO(dto_create_runner, "CreateRunnerDTO", "services", create_runner);

static const struct dto_field provider_metadata[] = {
	S("metadata", MUST),
};
DTO(dto_provider_metadata_workspace, "UpdateWorkspaceProviderMetadataDTO", "dto",
    provider_metadata);
DTO(dto_provider_metadata_target, "UpdateTargetProviderMetadataDTO", "dto", provider_metadata);

static const struct dto_field file_status[] = {
	S("name", MAY),
	S("extra", MAY),
	FIELD("staging", DTO_STRING, MAY, NULL, "models.Status"),
	FIELD("worktree", DTO_STRING, MAY, NULL, "models.Status"),
};
LOCAL_DTO(dto_file_status, "FileStatus", "models", file_status);

static const struct dto_field git_status[] = {
	S("currentBranch", MUST),
	{ "fileStatus\0Files", &dto_file_status, NULL, DTO_OBJECTS, MUST, true },
	F("branchPublished", DTO_BOOL, MAY),
	F("ahead", DTO_INT, MAY),
	F("behind", DTO_INT, MAY),
};
LOCAL_DTO(dto_git_status, "GitStatus", "models", git_status);

static const struct dto_field workspace_metadata[] = {
	F("uptime", DTO_UINT64, MUST),
	O("gitStatus", DTO_POINTER, MAY, &dto_git_status),
};
DTO(dto_workspace_metadata, "UpdateWorkspaceMetadataDTO", "dto", workspace_metadata);

static const struct dto_field target_metadata[] = {
	F("uptime", DTO_UINT64, MUST),
};
DTO(dto_target_metadata, "UpdateTargetMetadataDTO", "dto", target_metadata);

static const struct dto_field create_config[] = {
	S("name", MUST),
	O("providerInfo", DTO_OBJECT, MUST, &dto_provider),
	S("options", MUST),
};
DTO(dto_create_config, "CreateTargetConfigDTO", "services", create_config);

static const struct dto_field create_target[] = {
	S("id", MUST),
	S("name", MUST),
	S("targetConfigId", MUST),
};
DTO(dto_create_target, "CreateTargetDTO", "services", create_target);

static const struct dto_field devcontainer[] = {
	S("filePath", MUST),
};
LOCAL_DTO(dto_devcontainer, "DevcontainerConfig", "models", devcontainer);

static const struct dto_field cached_build[] = {
	S("user", MUST),
	S("image", MUST),
};
LOCAL_DTO(dto_cached_build, "CachedBuild", "models", cached_build);

static const struct dto_field build_config[] = {
	O("devcontainer", DTO_POINTER, MAY, &dto_devcontainer),
	O("cachedBuild", DTO_POINTER, MAY, &dto_cached_build),
};
LOCAL_DTO(dto_build_config, "BuildConfig", "models", build_config);

/* An empty sha is let through: nobody here can look it up, and runners clone the branch. */
static const struct dto_field repository[] = {
	S("id", MUST),
	S("url", MUST),
	S("name", MUST),
	S("branch", MUST),
	S("sha", MAY),
	S("owner", MUST),
	F("prNumber", DTO_UINT32, MAY),
	S("source", MUST),
	S("path", MAY),
	FIELD("cloneTarget", DTO_STRING, MAY, NULL, "gitprovider.CloneTarget"),
};
LOCAL_DTO(dto_repository, "GitRepository", "gitprovider", repository);

static const struct dto_field workspace_source[] = {
	O("repository", DTO_POINTER, MUST, &dto_repository),
};
LOCAL_DTO(dto_workspace_source, "CreateWorkspaceSourceDTO", "services", workspace_source);

static const struct dto_field create_workspace[] = {
	S("id", MUST),
	S("name", MUST),
	S("image", MAY),
	S("user", MAY),
	O("buildConfig", DTO_POINTER, MAY, &dto_build_config),
	O("source", DTO_OBJECT, MUST, &dto_workspace_source),
	F("envVars", DTO_MAP, MUST),
	F("labels", DTO_MAP, MUST),
	S("targetId", MUST),
	S("gitProviderConfigId", MAY),
};
DTO(dto_create_workspace, "CreateWorkspaceDTO", "services", create_workspace);

static const struct dto_field env[] = {
	S("key", MUST),
	S("value", MUST),
};
DTO(dto_env, "EnvironmentVariable", "models", env);

static const struct dto_field git[] = {
	S("id", MAY),         S("providerId", MUST),
	S("username", MAY),   S("token", MUST),
	S("baseApiUrl", MAY), S("alias", MAY),
	S("signingKey", MAY), FIELD("signingMethod", DTO_STRING, MAY, NULL, "models.SigningMethod"),
};
DTO(dto_git, "SetGitProviderConfig", "dto", git);

static const struct dto_field create_build[] = {
	S("workspaceTemplateName", MUST),
	S("branch", MUST),
	S("prebuildId", MAY),
	F("envVars", DTO_MAP, MUST),
};
DTO(dto_create_build, "CreateBuildDTO", "services", create_build);

static const struct dto_field prebuild[] = {
	S("id", MAY),
	S("branch", MAY),
	F("commitInterval", DTO_INT, MAY),
	F("triggerFiles", DTO_STRINGS, MAY),
	F("retention", DTO_INT, MUST),
};
DTO(dto_prebuild, "CreatePrebuildDTO", "services", prebuild);

static const struct dto_field template[] = {
	S("name", MUST),
	S("image", MAY),
	S("user", MAY),
	O("buildConfig", DTO_POINTER, MAY, &dto_build_config),
	S("repositoryUrl", MUST),
	F("envVars", DTO_MAP, MUST),
	S("gitProviderConfigId", MAY),
};
DTO(dto_template, "CreateWorkspaceTemplateDTO", "services", template);

static const struct dto_field frps[] = {
	S("domain", MUST),
	F("port", DTO_UINT32, MAY), /* 0: see add_frps in config.c */
	S("protocol", MUST),
};
LOCAL_DTO(dto_frps, "FRPSConfig", "server", frps);

static const struct dto_field log_file[] = {
	S("path", MUST),
	F("maxSize", DTO_INT, MUST),
	F("maxBackups", DTO_INT, MUST),
	F("maxAge", DTO_INT, MUST),
	F("localTime", DTO_BOOL, MAY),
	F("compress", DTO_BOOL, MAY),
};
LOCAL_DTO(dto_log_file, "LogFileConfig", "logs", log_file);

static const struct dto_field server_config[] = {
	S("registryUrl", MUST),
	S("id", MUST),
	S("serverDownloadUrl", MUST),
	O("frps", DTO_POINTER, MAY, &dto_frps),
	F("apiPort", DTO_UINT32, MUST),
	F("headscalePort", DTO_UINT32, MUST),
	S("binariesPath", MUST),
	O("logFile", DTO_POINTER, MUST, &dto_log_file),
	S("builderImage", MUST),
	S("defaultWorkspaceImage", MUST),
	S("defaultWorkspaceUser", MUST),
	F("localBuilderRegistryPort", DTO_UINT32, MUST),
	S("localBuilderRegistryImage", MUST),
	S("builderRegistryServer", MUST),
	S("buildImageNamespace", MAY),
	F("localRunnerDisabled", DTO_BOOL, MAY),
	S("samplesIndexUrl", MAY),
};
DTO(dto_server_config, "Config", "server", server_config);

const struct dto dto_labels = { "", "map[string]string", NULL, 0 };
