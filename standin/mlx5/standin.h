/* standin.h: what the files of the stand-in share.
 *
 * The stand-in takes the place of libibverbs and libmlx5 below DPDK's unmodified mlx5 driver. It is one preloaded
 * library; each file is one concern. One lock guards everything that tests, driver threads and the queue thread share.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <rte_version.h>
#include "dpdk_version.h" /* generated: the version of the sources the driver's headers were taken from */

#if RTE_VER_YEAR != STANDIN_DPDK_YEAR || RTE_VER_MONTH != STANDIN_DPDK_MONTH || RTE_VER_MINOR != STANDIN_DPDK_MINOR
#error "the mlx5 headers are of another DPDK than the installed one; run: python -m build_support.standin"
#endif

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "mlx5_prm.h"
#include "mlx5_common.h"
#include "release.h"

/* --- load.c: what the environment asks for; the one lock ---------------------------------------------------------- */

struct standin_settings {
    const char *root;   /* of the faked sysfs */
    const char *netdev; /* prefix of the ports' network interfaces; the first port's is <netdev>0 */
    const char *socket; /* path of the control channel, or NULL */
    int n_devices;      /* PCI functions of the card */
    int n_ports;        /* of each */
    bool is_switch;     /* the device manages an E-Switch */
};

extern struct standin_settings standin_settings;

/* --- device.c: which of the card's functions a name of an RDMA device means, from 0 ---------------------------------- */

int device_number(const char *name);

/* --- profile.c: what card it is ------------------------------------------------------------------------------------ */

struct standin_profile {
    uint32_t steering_format, aso, contexts, queue_steering; /* the last three: 0 or 1 */
    uint32_t log_contexts, log_counters;                     /* room, as a power of two */
};

extern struct standin_profile standin_profile;

void profile_read(const char *path);
bool profile_recorded(uint32_t op_mod, void *out); /* fills in what a real card answered, if that is known */

void standin_check_version(void);
void standin_lock(void);
void standin_unlock(void);

/* Object numbers as firmware hands them out. A range starts at a multiple of its own size. */
uint32_t standin_next_id(void);
uint32_t standin_next_ids(uint32_t n);

/* DPDK's own function behind one of ours; NULL where the library is not loaded. library: "librte_eal". */
void *standin_real(const char *library, const char *symbol);

/* Ends the process with a sentence, where going on would mean memory errors in the driver. */
void standin_abort(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* --- text.c: growing text ----------------------------------------------------------------------------------------- */

struct text {
    char *s; /* owned; NULL while empty */
    size_t length, room;
};

void text_add(struct text *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *);

/* --- fault.c: the Nth of something fails -------------------------------------------------------------------------- */

enum fault_kind { FAULT_RULE, FAULT_QUEUE_ENTRY, FAULT_OBJECT, N_FAULTS };

void fault_arm(enum fault_kind, unsigned int nth, int error);
int fault_strikes(enum fault_kind); /* 0, or the positive errno to fail with */
bool fault_kind_of(const char *name, enum fault_kind *);

/* --- record.c: the rules the driver made, as data ------------------------------------------------------------------ */

#define RECORD_MAX_TARGETS 8

/* What a hit on a rule moves. */
struct record_target {
    enum { TARGET_COUNTER, TARGET_AGE } type;
    uint32_t id;     /* of the counter, or of the object that holds the age bit */
    uint32_t offset; /* of the age bit in the object */
};

struct record {
    TAILQ_ENTRY(record) next;
    uint64_t number;
    struct text body; /* JSON members after "rule" */
    struct record_target targets[RECORD_MAX_TARGETS];
    size_t n_targets;
};

struct record *record_new(void);
void record_target_add(struct record *, int type, uint32_t id, uint32_t offset);
void record_keep(struct record *);                               /* the rule was accepted */
void record_drop(struct record *);                               /* it was destroyed; frees the record */
void record_refuse(struct record *, int error, const char *why); /* the stand-in refused it; frees the record */
void record_list(struct text *);                                 /* one JSON line for each live rule */
void record_refusals(struct text *); /* one JSON line for each rule refused since the last call */
bool record_hit(uint64_t number, uint64_t packets, uint64_t bytes);

/* --- counter.c: counters and age bits, moved by tests ------------------------------------------------------------- */

void counter_hit(uint32_t id, uint64_t packets, uint64_t bytes);
void counter_read(uint32_t first, uint32_t n, void *pairs); /* n times packets, bytes; big-endian */
void counter_forget(uint32_t first, uint32_t n);
void age_hit(uint32_t object, uint32_t offset);
void age_forget(uint32_t first, uint32_t n);
void age_read_clear(uint32_t object, uint8_t bits[64]);
void counter_list(struct text *);

/* --- devx.c: firmware objects ------------------------------------------------------------------------------------- */

struct mlx5dv_devx_obj {
    LIST_ENTRY(mlx5dv_devx_obj) next;
    uint32_t opcode;    /* that created it */
    uint32_t type;      /* of a general object, else 0 */
    uint32_t id, n_ids; /* id is the first of n_ids */
    void *in;           /* owned copy of the creating command, for those that are decoded later */
    size_t in_size;
    void *extra; /* of the file that knows this kind; freed with free() */
};

struct mlx5dv_devx_obj *devx_find(uint32_t opcode, uint32_t type, uint32_t id);
void devx_each(bool (*visit)(struct mlx5dv_devx_obj *, void *), void *argument); /* until visit returns true */
void *devx_umem(uint32_t umem_id, uint64_t offset);
void devx_list(struct text *);
void devx_describe_queue(struct text *, uint32_t tir); /* members of the action that leads there */

/* --- queue.c: completion and send queues -------------------------------------------------------------------------- */

struct completion_queue;
struct completion_queue *queue_add_cq(uint32_t id, uint32_t n_entries, void *buffer, bool collapsed);
void queue_remove_cq(struct completion_queue *);
bool queue_create_cq(struct mlx5dv_devx_obj *);
bool queue_create_sq(struct mlx5dv_devx_obj *);
void queue_destroy(struct mlx5dv_devx_obj *);

/* --- aso.c, gta.c: what the entries of a send queue ask for; both are called with the lock held ------------------ */

void aso_execute(const void *wqe, uint32_t op_mod);
void context_forget(uint32_t first, uint32_t n);
void context_list(struct text *);
bool context_set(uint32_t id, const char *field, uint32_t value);

bool gta_execute(const void *wqe, uint32_t op_mod); /* false: the entry completes as failed */
void gta_modify_stc(struct mlx5dv_devx_obj *, const void *in);
void gta_modify_table(const void *in);
void gta_destroy(struct mlx5dv_devx_obj *);

/* --- capabilities.c ----------------------------------------------------------------------------------------------- */

void capabilities_fill(uint32_t op_mod, void *out);

/* --- fields.c: match parameters and header fields by name --------------------------------------------------------- */

void fields_match(struct text *, const void *value, const void *mask, size_t size_bytes);
void fields_definer(struct text *, const void *definer, const void *tag);
void fields_modify(struct text *, const uint64_t *actions, size_t n);

/* --- complaint.c ---------------------------------------------------------------------------------------------------- */

void complaint_list(struct text *);

/* --- device.c: the device goes ------------------------------------------------------------------------------------ */

void device_remove(void); /* as if it had been pulled out: the driver is told by its asynchronous event */

/* --- control.c: the channel to tests ------------------------------------------------------------------------------- */

void control_start(void); /* does nothing where no socket was named or it runs already */

/* --- verbs.c ------------------------------------------------------------------------------------------------------ */

void verbs_set_operations(struct verbs_context *);

#endif /* STANDIN_H */
