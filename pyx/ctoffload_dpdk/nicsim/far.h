/* What is at the far end of a wire, where it is not Python: another emulated port, or another DPDK port. */
#ifndef NICSIM_FAR_H
#define NICSIM_FAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>

#define NICSIM_WIRE_NAME_SIZE RTE_ETH_NAME_MAX_LEN

enum nicsim_far_kind {
    NICSIM_FAR_PYTHON = 0, /* nobody: what leaves can be kept for reading */
    NICSIM_FAR_RING,       /* the other emulated port that names the same ring */
    NICSIM_FAR_PORT        /* a DPDK port of another driver, owned by this one */
};

struct nicsim_port;

/* Locked by the switch, unless said otherwise. */
struct nicsim_far {
    enum nicsim_far_kind kind; /* never changes */
    char name[NICSIM_WIRE_NAME_SIZE];
    _Atomic bool is_polling; /* one thread at a time takes what has come */

    struct nicsim_port *peer; /* RING: with a reference; the polling thread's own */
    uint8_t *buffer;          /* likewise */

    uint16_t port_id; /* PORT; RTE_MAX_ETHPORTS once it is gone */
    bool is_set_up;
    uint32_t max_length; /* of a frame it takes */
    struct rte_mempool *pool;
};

/* "python", "ring:NAME" or "port:NAME". */
bool nicsim_far_parse(const char *text, struct nicsim_far *far);
/* 0, or an errno after it said why. Called without the lock; so are start, stop and close. */
int nicsim_far_open(struct nicsim_port *port);
int nicsim_far_start(struct nicsim_port *port);
void nicsim_far_stop(struct nicsim_port *port);
void nicsim_far_close(struct nicsim_port *port);
/* False where the frame was not taken. Locked. */
bool nicsim_far_out(struct nicsim_port *port, const uint8_t *data, uint32_t length);
/* Takes what has come and runs it through the NIC. Returns how many frames; 0 also while another thread is at it. Called
 * without the lock. */
uint32_t nicsim_far_poll(struct nicsim_port *port);

/* far_port.c: the same for a DPDK port. */
int nicsim_far_port_open(struct nicsim_port *port);
int nicsim_far_port_start(struct nicsim_port *port);
void nicsim_far_port_stop(struct nicsim_port *port);
void nicsim_far_port_close(struct nicsim_port *port);
bool nicsim_far_port_out(struct nicsim_port *port, const uint8_t *data, uint32_t length);
uint32_t nicsim_far_port_poll(struct nicsim_port *port);

#endif /* NICSIM_FAR_H */
