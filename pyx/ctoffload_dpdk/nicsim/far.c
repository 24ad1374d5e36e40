/* The far end of a wire: who it is, and a ring that joins two emulated ports back to back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nicsim.h"

#define RING_BYTES   (4u << 20) /* what waits to be taken by the other port */
#define BUFFER_BYTES (64u << 10)
#define MAX_FRAMES   NICSIM_BURST

bool
nicsim_far_parse(const char *text, struct nicsim_far *far)
{
    static const char *const prefixes[] = {[NICSIM_FAR_RING] = "ring:", [NICSIM_FAR_PORT] = "port:"};

    far->kind = NICSIM_FAR_PYTHON;
    far->port_id = RTE_MAX_ETHPORTS;
    if (strcmp(text, "python") == 0) {
        return true;
    }
    for (int kind = NICSIM_FAR_RING; kind <= NICSIM_FAR_PORT; kind++) {
        size_t n = strlen(prefixes[kind]);

        if (strncmp(text, prefixes[kind], n) == 0 && text[n] && strlen(text + n) < sizeof far->name) {
            far->kind = kind;
            strcpy(far->name, text + n);
            return true;
        }
    }
    return false;
}

static int
ring_open(struct nicsim_port *port)
{
    if (nicsim_ring_ports(port) > 1) {
        NICSIM_LOG(ERR, "%s: two ports are on the ring %s already; give a pair of ports a name of its own",
                   port->dev->data->name, port->far.name);
        return EBUSY;
    }
    port->far.buffer = malloc(BUFFER_BYTES);
    port->wire.max_bytes = RING_BYTES;
    return port->far.buffer ? 0 : ENOMEM;
}

int
nicsim_far_open(struct nicsim_port *port)
{
    switch (port->far.kind) {
    case NICSIM_FAR_RING:
        return ring_open(port);
    case NICSIM_FAR_PORT:
        return nicsim_far_port_open(port);
    default:
        return 0;
    }
}

int
nicsim_far_start(struct nicsim_port *port)
{
    return port->far.kind == NICSIM_FAR_PORT ? nicsim_far_port_start(port) : 0;
}

void
nicsim_far_stop(struct nicsim_port *port)
{
    if (port->far.kind == NICSIM_FAR_PORT) {
        nicsim_far_port_stop(port);
    }
}

void
nicsim_far_close(struct nicsim_port *port)
{
    if (port->far.kind == NICSIM_FAR_PORT) {
        nicsim_far_port_close(port);
    }
    if (port->far.peer) {
        nicsim_port_unref(port->far.peer);
        port->far.peer = NULL;
    }
    free(port->far.buffer);
    port->far.buffer = NULL;
}

bool
nicsim_far_out(struct nicsim_port *port, const uint8_t *data, uint32_t length)
{
    if (port->far.kind == NICSIM_FAR_PORT) {
        return nicsim_far_port_out(port, data, length);
    }
    return nicsim_wire_keep(port, data, length);
}

/* Makes sure of the other port on the ring. */
static bool
find_peer(struct nicsim_port *port)
{
    struct nicsim_port *peer = port->far.peer;
    bool is_there = false;

    if (peer) {
        nicsim_lock(peer);
        is_there = peer->dev != NULL;
        nicsim_unlock(peer);
        if (!is_there) {
            nicsim_port_unref(peer);
            port->far.peer = NULL;
        }
    }
    if (!is_there) {
        port->far.peer = nicsim_ring_peer(port);
    }
    return port->far.peer != NULL;
}

/* Two locks, one after the other: the ports may be of one switch or of two. */
static uint32_t
ring_poll(struct nicsim_port *port)
{
    uint64_t offset[MAX_FRAMES];
    uint32_t length[MAX_FRAMES];
    struct nicsim_port *peer;
    int64_t n;

    if (!find_peer(port)) {
        return 0;
    }
    peer = port->far.peer;
    nicsim_lock(peer);
    n = nicsim_wire_receive(peer, port->far.buffer, BUFFER_BYTES, offset, length, NULL, MAX_FRAMES);
    nicsim_unlock(peer);
    if (n) {
        nicsim_wire_in(port, port->far.buffer, offset, length, n);
    }
    return n;
}

uint32_t
nicsim_far_poll(struct nicsim_port *port)
{
    uint32_t n;

    if (port->far.kind == NICSIM_FAR_PYTHON || atomic_exchange(&port->far.is_polling, true)) {
        return 0;
    }
    n = port->far.kind == NICSIM_FAR_RING ? ring_poll(port) : nicsim_far_port_poll(port);
    atomic_store(&port->far.is_polling, false);
    return n;
}
