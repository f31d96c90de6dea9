/* SPDX-License-Identifier: Apache-2.0 */
/* The first process of a workspace's container, as an applet's function: `pause` was its name once. */
#ifndef APPLETS_CONTAINER_INIT_H
#define APPLETS_CONTAINER_INIT_H

int container_init(int argc, char **argv);

#endif
