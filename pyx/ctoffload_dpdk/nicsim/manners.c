/* The manners of each profile, as data. What a value is known by stands beside it:
 *   driver      read in the source of mlx5 of DPDK 22.11.11, or its documentation
 *   seen        the driver on the stand-in did so (tests/standin/test_moving.py)
 *   unverified  from documentation of a later version
 */
#include "manners.h"

#define SWS NICSIM_CONNECTX_SWS
#define HWS NICSIM_CONNECTX_HWS

const struct nicsim_manner_of nicsim_manners[NICSIM_N_MANNERS] = {
    /* driver: an alarm reads all counters once a second; the service cycle of hardware steering (svc_cycle_time) */
    [NICSIM_COUNTER_REFRESH_MS] = {"counter_refresh_ms", NULL, 0, 60000, {[SWS] = 1000, [HWS] = 500}},
    /* driver: an alarm once a second; the same service cycle, counting whole seconds */
    [NICSIM_AGE_CHECK_MS] = {"age_check_ms", NULL, 0, 60000, {[SWS] = 1000, [HWS] = 500}},
    /* driver: who was found idle for too long is passed over from then on */
    [NICSIM_AGEING_FINAL] = {"ageing", "again|final", 0, 1, {[SWS] = 1, [HWS] = 1}},
    /* seen */
    [NICSIM_AGED_CONSUME] = {"aged", "keep|consume", 0, 1, {[HWS] = 1}},
    /* driver: of two lists, those aged by their counter are counted beyond the room */
    [NICSIM_AGED_OVERREPORT] = {"aged_overreport", NULL, 0, 1, {[SWS] = 1}},
    /* seen: one in a hundred, of the counters asked for and a fifth more, rounded down, then up to a power of two */
    [NICSIM_AGED_PERCENT] = {"aged_percent", NULL, 0, 100, {[HWS] = 1}},
    /* driver: ENOTSUP with software steering */
    [NICSIM_AGE_UPDATE] = {"age_update", NULL, 0, 1, {[NICSIM_FREE] = 1, [HWS] = 1}},
    /* driver; that its errno is EAGAIN: unverified */
    [NICSIM_COUNTER_REST] = {"counter_rest", NULL, 0, 1, {[HWS] = 1}},
    /* driver: indices cast to pointers */
    [NICSIM_SMALL_HANDLES] = {"small_handles", NULL, 0, 1, {[SWS] = 1}},
    /* driver */
    [NICSIM_PROXY_ORDER] = {"proxy_order", NULL, 0, 1, {[HWS] = 1}},
    /* driver */
    [NICSIM_PROXY_NEEDS_SWITCH] = {"proxy_needs_switch", NULL, 0, 1, {[SWS] = 1, [HWS] = 1}},
    /* driver: four bits of a handle name the port */
    [NICSIM_CONTEXT_PORTS] = {"context_ports", NULL, 0, 65535, {[SWS] = 16}},
    /* driver */
    [NICSIM_ROUND_CONTEXTS] = {"round_contexts", NULL, 0, 1, {[HWS] = 1}},
    /* seen: of COUNT, AGE and CONNTRACK the last alone */
    [NICSIM_STOPPED_CONTEXTS] = {"stopped_contexts", "free|keep", 0, 1, {[SWS] = 1}},
    /* driver */
    [NICSIM_AGED_NEEDS_AGES] = {"aged_needs_ages", NULL, 0, 1, {[HWS] = 1}},
    /* driver: ages are worked out from counters */
    [NICSIM_AGE_TAKES_COUNTER] = {"age_takes_counter", NULL, 0, 1, {[HWS] = 1}},
    /* driver */
    [NICSIM_COUNTERS_FULL] = {"counters_full", "enospc|enoent", 0, 1, {[HWS] = 1}},
    /* driver */
    [NICSIM_QUEUE_FULL] = {"queue_full", "eagain|enomem", 0, 1, {[HWS] = 1}},
};
