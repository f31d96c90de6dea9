/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the docker provider share during one job. */
#ifndef PROVIDERS_DOCKER_WORKSPACE_INTERNAL_H
#define PROVIDERS_DOCKER_WORKSPACE_INTERNAL_H

#include "providers/docker/engine/container.h"
#include "providers/docker/engine/exec.h"
#include "providers/docker/engine/images.h"
#include "providers/docker/engine/options.h"
#include "providers/docker/engine/specbody.h"
#include "providers/docker/engine/users.h"
#include "providers/docker/workspace/identity.h"
#include "providers/docker/workspace/wsdir.h"

/* Behind what is said of a container: the limit is the target's. */
#define OUT_OF_MEMORY "; it was ended for want of memory (option Memory of the target)"

struct follow;
struct devcontainer;
struct dc_build;

struct docker {
	const struct provider_env *env;
	struct docker_options opt;
	struct engine engine;
	char *used_for;      /* text of the options that opt and g were made from; NULL: not open */
	struct exec agent;   /* attached after its start, for the rest of the job's log */
	struct follow *logs; /* of the container, or NULL */
};

/* policy.c of engine/ for the resource id: what the target's options allow, what is refused in the log. The rest is the caller's. */
struct policy docker_policy(struct docker *docker, enum policy_use use, const char *id,
                            const struct kv *identity);
/* For a container of ours that is there for a moment: our mounts and network as they are in s, labels, no healthcheck. */
struct admitted *docker_admit_helper(struct docker *docker, const char *id, struct spec *s);
/* One that is not there is no error. */
int docker_remove_volume(struct docker *docker, const char *name, struct deadline d, struct err *e);
/* Removes the volumes that the resource's containers asked for. */
int docker_remove_volumes(struct docker *docker, const char *id, struct deadline d, struct err *e);

/* Name for an image of ours: "daytona-KIND-ID:TAG", with a hash in place of an id that image names do not take as it is; no two
 * ids have one name. Caller frees. */
char *docker_image_tag(const char *kind, const char *id, const char *tag);

/* dcplan.c: what image a dev container's container is made of. */
struct dc_plan {                  /* all borrowed */
	const char *id, *tag;     /* of the resource; name for an image that is made, lower case */
	const char *base;         /* … and of what only another image is made of */
	const char *work_dir;     /* a directory of ours */
	const char *cached_image; /* or NULL */
	const struct registries *registries;
	const struct asker *from; /* is told what is not done */
};
/* Builds it or names it. *image: caller frees; *made: it is p->tag, and may be removed with the resource. Sets the metadata
 * of dc to the image's, which *info describes (caller frees). */
int dc_plan_image(struct docker *docker, struct devcontainer *dc, const struct dc_plan *p,
                  char **image, bool *made, struct image *info, struct deadline d, struct err *e);

/* checkout.c: clones into dir->checkout with our git, or the builder image's; complete ones are kept. */
int checkout_make(struct docker *docker, const struct workspace_job *w, const struct wsdir *dir,
                  struct deadline d, struct err *e);
int checkout_clone(struct docker *docker, const struct repository *repo,
                   const struct git_provider *git, const char *builder_image,
                   const struct registries *regs, const char *parent, const char *name,
                   const char *id, struct deadline d, struct err *e);
/* Puts a checkout at path into a container whose image has no git for its agent; nothing to do when it is there. */
int checkout_put(struct docker *docker, const struct workspace_job *w, const struct wsdir *dir,
                 const struct container *c, const struct account *a, const char *path,
                 struct deadline d, struct err *e);
/* Gives the checkout to the account that works in it, where that can be done from this side. */
int checkout_own(struct docker *docker, const struct wsdir *dir, const struct account *a,
                 struct err *e);
/* remove.c: removes path, a directory of workspace w, and all in it; what belongs to others is removed by the engine's root,
 * who sees that directory alone. */
int checkout_remove(struct docker *docker, const struct wsdir *w, const char *path,
                    struct deadline d, struct err *e);
/* The same for its checkout in the remote data directory, if there is one. */
int checkout_remove_remote(struct docker *docker, const struct wsdir *w, struct deadline d,
                           struct err *e);

/* delivery.c */
/* Path of a static executable of ours that runs on the engine's machine, or NULL with the reason in why. Borrowed from docker. */
const char *delivery_program(const struct docker *docker, struct buf *why);
/* Puts it at PROGRAM_PATH, with the archive entries of first, whatever is there. */
int delivery_put_program(struct docker *docker, const char *container, struct str first,
                         struct deadline d, struct err *e);
struct agent_job {
	const struct workspace_job *w;
	const struct container *c;
	const struct account *account;
	const struct wsdir *at;
	const char *user, *dir; /* dir: checkout in the container */
	bool clone;             /* there is none yet: the agent makes it */
	bool fresh;             /* c was started for this job: nothing runs in it */
	const char *delivered;  /* by delivery_before_start: what to run; NULL: it was not called */
	const struct kv *extra; /* more environment, or NULL */
};
/* Puts what the agent needs into c, which does not run: nobody in it can exchange what it has mounted meanwhile, which the
 * engine mounts anew, by path, for each file. first: archive entries that go in with it. *program: what to run; NULL: no agent
 * is wanted. Of a: w, c, at. Size and time of a file in a container are for whoever is root in it to set: what is to get the
 * key is put anew each time, but for Daytona's agent, which is too large for that. */
int delivery_before_start(struct docker *docker, const struct agent_job *a, struct str first,
                          const char **program, struct deadline d, struct err *e);
/* One that this process started has not failed since it was ready. */
int delivery_agent_stays(struct docker *docker, struct err *e);
/* Whether an agent that a runner started runs in c. */
int delivery_agent_runs(struct docker *docker, const struct container *c, bool *runs,
                        struct deadline d, struct err *e);
/* Starts the workspace's agent unless one runs, and waits until it is ready. */
int delivery_start_agent(struct docker *docker, const struct agent_job *a, struct deadline d,
                         struct err *e);

/* workspace.c */
int ws_create(struct docker *docker, const struct workspace_job *w, struct deadline d,
              struct err *e);
/* An earlier attempt to make c ended before all of its checkout was copied to the engine. */
bool ws_unfinished(const struct docker *docker, const struct workspace *ws, struct wsdir *dir,
                   const struct container *c);
char *ws_container_name(const struct workspace *ws);
/* wsstart.c */
int ws_start(struct docker *docker, const struct workspace_job *w, struct deadline d,
             struct err *e);
/* wsend.c */
int ws_stop(struct docker *docker, const struct workspace_job *w, struct deadline d, struct err *e);
int ws_delete(struct docker *docker, const struct workspace_job *w, struct deadline d,
              struct err *e);

/* wscreate.c: the container for a workspace, created and not started. *id: caller frees. */
int ws_make_container(struct docker *docker, const struct workspace_job *w, struct wsdir *dir,
                      char **id, struct deadline d, struct err *e);

/* siblings.c: other containers of the compose project that c belongs to. */
enum sibling_action { SIBLINGS_START, SIBLINGS_STOP, SIBLINGS_REMOVE };
int siblings_do(struct docker *docker, const struct container *c, enum sibling_action a,
                struct deadline d, struct err *e);

/* enginebuild.c */
/* Whether a Dockerfile has what only BuildKit does. */
bool dockerfile_needs_buildkit(struct str text);
/* checkout: what b's paths are read in. cache_from: images, instead of b's. */
int build_image(struct docker *docker, const char *checkout, const struct dc_build *b,
                const char *tag, const struct strlist *cache_from, const struct registries *regs,
                struct deadline d, struct err *e);
/* dockerfrom.c: ERR_DENIED where this runner allows certain images, and the file takes others or it cannot be told; given: the
 * build's arguments. */
int dockerfile_admit(struct str text, const struct kv *given, struct err *e);
/* build.c */
int build_run(struct docker *docker, const struct build_job *b, struct deadline d, struct err *e);
int build_delete(struct docker *docker, const struct build_job *b, bool force, struct deadline d,
                 struct err *e);

#endif
