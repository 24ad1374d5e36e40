/* root.h: rules and actions of the root table that verbs destroy. */
#ifndef STANDIN_ROOT_H
#define STANDIN_ROOT_H

#include <infiniband/verbs.h>

struct ibv_flow *root_create_flow(struct ibv_context *);
int root_destroy_flow(struct ibv_flow *);
int root_destroy_action(struct ibv_flow_action *);

#endif
