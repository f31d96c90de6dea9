/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of request bodies (protocol 3, 4, 11). See dto.h. */
#include "applets/server/dto.h"

#include "base/attr.h"

#define MUST true
#define MAY false
#define S(json, go, req) \
	{ \
		json, go, DTO_STRING, req, NULL, NULL \
	}
#define F(json, go, type, req) \
	{ \
		json, go, type, req, NULL, NULL \
	}
#define O(json, go, type, req, of) \
	{ \
		json, go, type, req, of, NULL \
	}
#define DTO(var, name, package, fields) \
	const struct dto var = { name, package, fields, ARRAY_LEN(fields) }
#define LOCAL_DTO(var, name, package, fields) \
	static const struct dto var = { name, package, fields, ARRAY_LEN(fields) }

static const struct dto_field job_state[] = {
	{ "state", "State", DTO_STRING, MUST, NULL, "models.JobState" },
	S("errorMessage", "ErrorMessage", MAY),
};
DTO(dto_job_state, "UpdateJobStateDTO", "services", job_state);

static const struct dto_field property[] = {
	{ "type", "Type", DTO_STRING, MAY, NULL, "models.TargetConfigPropertyType" },
	F("inputMasked", "InputMasked", DTO_BOOL, MAY),
	S("disabledPredicate", "DisabledPredicate", MAY),
	S("defaultValue", "DefaultValue", MAY),
	S("description", "Description", MAY),
	F("options", "Options", DTO_STRINGS, MAY),
	F("suggestions", "Suggestions", DTO_STRINGS, MAY),
};
LOCAL_DTO(dto_property, "TargetConfigProperty", "models", property);

static const struct dto_field provider[] = {
	S("runnerId", "RunnerId", MUST),
	S("runnerName", "RunnerName", MUST),
	S("name", "Name", MUST),
	S("version", "Version", MUST),
	F("agentlessTarget", "AgentlessTarget", DTO_BOOL, MAY),
	S("label", "Label", MAY),
	{ "targetConfigManifest", "TargetConfigManifest", DTO_OBJECT_MAP, MUST, &dto_property,
	  "models.TargetConfigManifest" },
};
LOCAL_DTO(dto_provider, "ProviderInfo", "models", provider);

static const struct dto_field runner_metadata[] = {
	F("uptime", "Uptime", DTO_UINT64, MUST),
	F("runningJobs", "RunningJobs", DTO_UINT64, MAY),
	O("providers", "Providers", DTO_OBJECTS, MUST, &dto_provider),
};
DTO(dto_runner_metadata, "UpdateRunnerMetadataDTO", "dto", runner_metadata);

static const struct dto_field create_runner[] = {
	S("id", "Id", MUST),
	S("name", "Name", MUST),
};
DTO(dto_create_runner, "CreateRunnerDTO", "services", create_runner);

static const struct dto_field provider_metadata[] = {
	S("metadata", "Metadata", MUST),
};
DTO(dto_provider_metadata_workspace, "UpdateWorkspaceProviderMetadataDTO", "dto",
    provider_metadata);
DTO(dto_provider_metadata_target, "UpdateTargetProviderMetadataDTO", "dto", provider_metadata);

static const struct dto_field file_status[] = {
	S("name", "Name", MAY),
	S("extra", "Extra", MAY),
	{ "staging", "Staging", DTO_STRING, MAY, NULL, "models.Status" },
	{ "worktree", "Worktree", DTO_STRING, MAY, NULL, "models.Status" },
};
LOCAL_DTO(dto_file_status, "FileStatus", "models", file_status);

static const struct dto_field git_status[] = {
	S("currentBranch", "CurrentBranch", MUST),
	O("fileStatus", "Files", DTO_OBJECTS, MUST, &dto_file_status),
	F("branchPublished", "BranchPublished", DTO_BOOL, MAY),
	F("ahead", "Ahead", DTO_INT, MAY),
	F("behind", "Behind", DTO_INT, MAY),
};
LOCAL_DTO(dto_git_status, "GitStatus", "models", git_status);

static const struct dto_field workspace_metadata[] = {
	F("uptime", "Uptime", DTO_UINT64, MUST),
	O("gitStatus", "GitStatus", DTO_POINTER, MAY, &dto_git_status),
};
DTO(dto_workspace_metadata, "UpdateWorkspaceMetadataDTO", "dto", workspace_metadata);

static const struct dto_field target_metadata[] = {
	F("uptime", "Uptime", DTO_UINT64, MUST),
};
DTO(dto_target_metadata, "UpdateTargetMetadataDTO", "dto", target_metadata);

static const struct dto_field create_config[] = {
	S("name", "Name", MUST),
	O("providerInfo", "ProviderInfo", DTO_OBJECT, MUST, &dto_provider),
	S("options", "Options", MUST),
};
DTO(dto_create_config, "CreateTargetConfigDTO", "services", create_config);

static const struct dto_field create_target[] = {
	S("id", "Id", MUST),
	S("name", "Name", MUST),
	S("targetConfigId", "TargetConfigId", MUST),
};
DTO(dto_create_target, "CreateTargetDTO", "services", create_target);

static const struct dto_field devcontainer[] = {
	S("filePath", "FilePath", MUST),
};
LOCAL_DTO(dto_devcontainer, "DevcontainerConfig", "models", devcontainer);

static const struct dto_field cached_build[] = {
	S("user", "User", MUST),
	S("image", "Image", MUST),
};
LOCAL_DTO(dto_cached_build, "CachedBuild", "models", cached_build);

static const struct dto_field build_config[] = {
	O("devcontainer", "Devcontainer", DTO_POINTER, MAY, &dto_devcontainer),
	O("cachedBuild", "CachedBuild", DTO_POINTER, MAY, &dto_cached_build),
};
LOCAL_DTO(dto_build_config, "BuildConfig", "models", build_config);

/* An empty sha is let through: nobody here can look it up, and runners clone the branch. */
static const struct dto_field repository[] = {
	S("id", "Id", MUST),
	S("url", "Url", MUST),
	S("name", "Name", MUST),
	S("branch", "Branch", MUST),
	S("sha", "Sha", MAY),
	S("owner", "Owner", MUST),
	F("prNumber", "PrNumber", DTO_UINT32, MAY),
	S("source", "Source", MUST),
	S("path", "Path", MAY),
	{ "cloneTarget", "Target", DTO_STRING, MAY, NULL, "gitprovider.CloneTarget" },
};
LOCAL_DTO(dto_repository, "GitRepository", "gitprovider", repository);

static const struct dto_field workspace_source[] = {
	O("repository", "Repository", DTO_POINTER, MUST, &dto_repository),
};
LOCAL_DTO(dto_workspace_source, "CreateWorkspaceSourceDTO", "services", workspace_source);

static const struct dto_field create_workspace[] = {
	S("id", "Id", MUST),
	S("name", "Name", MUST),
	S("image", "Image", MAY),
	S("user", "User", MAY),
	O("buildConfig", "BuildConfig", DTO_POINTER, MAY, &dto_build_config),
	O("source", "Source", DTO_OBJECT, MUST, &dto_workspace_source),
	F("envVars", "EnvVars", DTO_MAP, MUST),
	F("labels", "Labels", DTO_MAP, MUST),
	S("targetId", "TargetId", MUST),
	S("gitProviderConfigId", "GitProviderConfigId", MAY),
};
DTO(dto_create_workspace, "CreateWorkspaceDTO", "services", create_workspace);

static const struct dto_field env[] = {
	S("key", "Key", MUST),
	S("value", "Value", MUST),
};
DTO(dto_env, "EnvironmentVariable", "models", env);

static const struct dto_field git[] = {
	S("id", "Id", MAY),
	S("providerId", "ProviderId", MUST),
	S("username", "Username", MAY),
	S("token", "Token", MUST),
	S("baseApiUrl", "BaseApiUrl", MAY),
	S("alias", "Alias", MAY),
	S("signingKey", "SigningKey", MAY),
	{ "signingMethod", "SigningMethod", DTO_STRING, MAY, NULL, "models.SigningMethod" },
};
DTO(dto_git, "SetGitProviderConfig", "dto", git);

static const struct dto_field create_build[] = {
	S("workspaceTemplateName", "WorkspaceTemplateName", MUST),
	S("branch", "Branch", MUST),
	S("prebuildId", "PrebuildId", MAY),
	F("envVars", "EnvVars", DTO_MAP, MUST),
};
DTO(dto_create_build, "CreateBuildDTO", "services", create_build);

static const struct dto_field template[] = {
	S("name", "Name", MUST),
	S("image", "Image", MAY),
	S("user", "User", MAY),
	O("buildConfig", "BuildConfig", DTO_POINTER, MAY, &dto_build_config),
	S("repositoryUrl", "RepositoryUrl", MUST),
	F("envVars", "EnvVars", DTO_MAP, MUST),
	S("gitProviderConfigId", "GitProviderConfigId", MAY),
};
DTO(dto_template, "CreateWorkspaceTemplateDTO", "services", template);

static const struct dto_field frps[] = {
	S("domain", "Domain", MUST),
	F("port", "Port", DTO_UINT32, MUST),
	S("protocol", "Protocol", MUST),
};
LOCAL_DTO(dto_frps, "FRPSConfig", "server", frps);

static const struct dto_field log_file[] = {
	S("path", "Path", MUST),
	F("maxSize", "MaxSize", DTO_INT, MUST),
	F("maxBackups", "MaxBackups", DTO_INT, MUST),
	F("maxAge", "MaxAge", DTO_INT, MUST),
	F("localTime", "LocalTime", DTO_BOOL, MAY),
	F("compress", "Compress", DTO_BOOL, MAY),
};
LOCAL_DTO(dto_log_file, "LogFileConfig", "logs", log_file);

static const struct dto_field server_config[] = {
	S("registryUrl", "RegistryUrl", MUST),
	S("id", "Id", MUST),
	S("serverDownloadUrl", "ServerDownloadUrl", MUST),
	O("frps", "Frps", DTO_POINTER, MAY, &dto_frps),
	F("apiPort", "ApiPort", DTO_UINT32, MUST),
	F("headscalePort", "HeadscalePort", DTO_UINT32, MUST),
	S("binariesPath", "BinariesPath", MUST),
	O("logFile", "LogFile", DTO_POINTER, MUST, &dto_log_file),
	S("builderImage", "BuilderImage", MUST),
	S("defaultWorkspaceImage", "DefaultWorkspaceImage", MUST),
	S("defaultWorkspaceUser", "DefaultWorkspaceUser", MUST),
	F("localBuilderRegistryPort", "LocalBuilderRegistryPort", DTO_UINT32, MUST),
	S("localBuilderRegistryImage", "LocalBuilderRegistryImage", MUST),
	S("builderRegistryServer", "BuilderRegistryServer", MUST),
	S("buildImageNamespace", "BuildImageNamespace", MAY),
	F("localRunnerDisabled", "LocalRunnerDisabled", DTO_BOOL, MAY),
	S("samplesIndexUrl", "SamplesIndexUrl", MAY),
};
DTO(dto_server_config, "Config", "server", server_config);

const struct dto dto_labels = { "", "map[string]string", NULL, 0 };
