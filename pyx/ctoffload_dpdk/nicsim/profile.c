/* Asks a profile's tables whether the real NIC would take a rule. */
#include <errno.h>

#include <rte_errno.h>

#include "nicsim.h"
#include "profile.h"
#include "profile_checks.h"

static const struct nicsim_profile free_profile = {.has_flow = true, .has_templates = true};
static const struct nicsim_profile no_flow = {.has_flow = false};

static const struct nicsim_profile *const profiles[NICSIM_N_PROFILES] = {
    [NICSIM_FREE] = &free_profile, [NICSIM_CONNECTX_SWS] = &nicsim_sws,      [NICSIM_CONNECTX_HWS] = &nicsim_hws,
    [NICSIM_TAP] = &nicsim_tap,    [NICSIM_QUEUE_ONLY] = &nicsim_queue_only, [NICSIM_NO_FLOW] = &no_flow,
};

const struct nicsim_profile *
nicsim_profile_of(const struct nicsim_port *port)
{
    return profiles[port->config.profile];
}

static uint32_t
domain_of(const struct rte_flow_attr *attr)
{
    if (attr->ingress + attr->egress + attr->transfer != 1) {
        return 0;
    }
    return attr->ingress ? NICSIM_IN : attr->egress ? NICSIM_OUT : NICSIM_FDB;
}

static bool
applies(const struct nicsim_refusal *r, const struct nicsim_asked *asked)
{
    return (!r->what || (r->what & asked->kind)) && (!r->domain || (r->domain & asked->domain)) &&
           (!r->in_root || asked->is_root) && (!r->items || (r->items & asked->items)) &&
           !(r->no_items & asked->items) && (!r->actions || (r->actions & asked->actions)) &&
           !(r->no_actions & asked->actions) && (!r->beside || (asked->actions & ~(r->beside | NICSIM_A_SHARED))) &&
           (!r->holds || r->holds(asked));
}

static int
refuse(const struct nicsim_refusal *r, const struct nicsim_asked *asked, struct rte_flow_error *error)
{
    const void *cause = asked->item ? (const void *) asked->item : (const void *) asked->action;
    int number = r->error;

    if (number == NICSIM_LEFT_OVER) {
        /* With 0 the real driver goes on, and crashes when the table is used. */
        number = rte_errno ? rte_errno : EINVAL;
    }
    return rte_flow_error_set(error, number, r->type, cause, r->message);
}

/* The first of the list that holds; 0 where none does. */
static int
ask(nicsim_refusals list, const struct nicsim_asked *asked, struct rte_flow_error *error)
{
    for (const struct nicsim_refusal *r = list; r && r->message; r++) {
        if (applies(r, asked)) {
            return refuse(r, asked, error);
        }
    }
    return 0;
}

static int
ask_items(nicsim_refusals list, struct nicsim_asked *asked, struct rte_flow_error *error)
{
    int rc = 0;

    for (asked->item = asked->pattern; rc == 0 && asked->item->type != RTE_FLOW_ITEM_TYPE_END; asked->item++) {
        asked->kind = nicsim_item_kind(asked->item);
        rc = ask(list, asked, error);
        asked->items |= asked->kind;
    }
    asked->item = NULL;
    asked->kind = 0;
    return rc;
}

static int
ask_actions(nicsim_refusals list, struct nicsim_asked *asked, struct rte_flow_error *error)
{
    int rc = 0;

    for (asked->action = asked->list; rc == 0 && asked->action->type != RTE_FLOW_ACTION_TYPE_END; asked->action++) {
        asked->kind = nicsim_action_kind(asked->port, asked->action);
        rc = ask(list, asked, error);
        asked->actions |= asked->kind;
    }
    asked->action = NULL;
    asked->kind = 0;
    return rc;
}

static struct nicsim_asked
asked_of(struct nicsim_port *port, const struct rte_flow_attr *attr, const struct rte_flow_item *items,
         const struct rte_flow_action *actions)
{
    return (struct nicsim_asked){
        .port = port,
        .attr = attr,
        .pattern = items,
        .list = actions,
        .domain = domain_of(attr),
        /* The E-Switch has a default rule in its first group; an application's groups come after it. */
        .is_root = attr->group == 0 && !attr->transfer,
    };
}

int
nicsim_profile_rule(struct nicsim_port *port, enum nicsim_question question, const struct rte_flow_attr *attr,
                    const struct rte_flow_item *items, const struct rte_flow_action *actions, bool *lies,
                    struct rte_flow_error *error)
{
    const struct nicsim_profile *profile = nicsim_profile_of(port);
    struct nicsim_asked asked;
    int rc;

    *lies = false;
    if (profile->no_sync) {
        return rte_flow_error_set(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL, profile->no_sync);
    }
    if (profile == &free_profile || !attr || !items || !actions) {
        return 0;
    }
    asked = asked_of(port, attr, items, actions);
    rc = ask(profile->attributes, &asked, error);
    rc = rc ? rc : ask_items(profile->items, &asked, error);
    rc = rc ? rc : ask_actions(profile->actions, &asked, error);
    rc = rc ? rc : ask(profile->rule, &asked, error);
    if (rc) {
        return rc;
    }
    if (question == NICSIM_ASK_CREATE) {
        return ask(profile->on_create, &asked, error);
    }
    *lies = ask(profile->on_create, &asked, NULL) != 0;
    return 0;
}

int
nicsim_profile_pattern_template(struct nicsim_port *port, const struct rte_flow_attr *attr,
                                const struct rte_flow_item *items, struct rte_flow_error *error)
{
    const struct nicsim_profile *profile = nicsim_profile_of(port);
    struct nicsim_asked asked = asked_of(port, attr, items, NULL);
    int rc = ask(profile->templates, &asked, error);

    return rc ? rc : ask_items(profile->pattern_templates, &asked, error);
}

int
nicsim_profile_actions_template(struct nicsim_port *port, const struct rte_flow_attr *attr,
                                const struct rte_flow_action *actions, struct rte_flow_error *error)
{
    const struct nicsim_profile *profile = nicsim_profile_of(port);
    struct nicsim_asked asked = asked_of(port, attr, NULL, actions);
    int rc = asked.domain ? ask(profile->templates, &asked, error) : 0; /* without one it is for all */

    return rc ? rc : ask_actions(profile->actions_templates, &asked, error);
}

int
nicsim_profile_table(struct nicsim_port *port, const struct rte_flow_attr *attr, const struct rte_flow_item *items,
                     const struct rte_flow_action *actions, struct rte_flow_error *error)
{
    struct nicsim_asked asked = asked_of(port, attr, items, actions);

    ask_items(NULL, &asked, NULL);
    ask_actions(NULL, &asked, NULL);
    return ask(nicsim_profile_of(port)->tables, &asked, error);
}
