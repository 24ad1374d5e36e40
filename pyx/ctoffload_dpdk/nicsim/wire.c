/* The wire: what arrives runs through the pipeline at once, what leaves can be kept for reading. */
#include <errno.h>
#include <stdlib.h>

#include "nicsim.h"

void
nicsim_wire_free(struct nicsim_wire *wire)
{
    free(wire->data);
    free(wire->packets);
    memset(wire, 0, sizeof *wire);
}

/* Moves what is unread to the front once that makes room for at least half of the buffer. */
static void
compact(struct nicsim_wire *wire)
{
    uint64_t n_left = wire->n_packets - wire->n_read;

    if (wire->n_read == 0 || (wire->data_read < wire->data_size / 2 && n_left)) {
        return;
    }
    memmove(wire->data, wire->data + wire->data_read, wire->data_used - wire->data_read);
    memmove(wire->packets, wire->packets + wire->n_read, n_left * sizeof *wire->packets);
    for (uint64_t i = 0; i < n_left; i++) {
        wire->packets[i].offset -= wire->data_read;
    }
    wire->data_used -= wire->data_read;
    wire->n_packets = n_left;
    wire->data_read = 0;
    wire->n_read = 0;
}

static bool
grow(void **memory, uint64_t *size, uint64_t need, size_t item)
{
    uint64_t n = *size ? *size : 1024;
    void *grown;

    if (need <= *size) {
        return true;
    }
    while (n < need) {
        n *= 2;
    }
    grown = realloc(*memory, n * item);
    if (!grown) {
        return false;
    }
    *memory = grown;
    *size = n;
    return true;
}

/* Keeps one packet; false where there is no room for it. What is noted of each takes room too: of short ones, that a byte
 * or none would let in without end, there are no more than if each had 32 bytes. */
static bool
keep(struct nicsim_wire *wire, const uint8_t *data, uint32_t length, int64_t now_ms)
{
    if (wire->data_used - wire->data_read + length > wire->max_bytes ||
        wire->n_packets - wire->n_read > wire->max_bytes / 32) {
        return false;
    }
    if (wire->data_used + length > wire->data_size || wire->n_packets + 1 > wire->packets_size) {
        compact(wire);
    }
    /* One byte at least, so that a frame of none has a place. */
    if (!grow((void **) &wire->data, &wire->data_size, wire->data_used + RTE_MAX(length, 1u), 1) ||
        !grow((void **) &wire->packets, &wire->packets_size, wire->n_packets + 1, sizeof *wire->packets)) {
        return false;
    }
    memcpy(wire->data + wire->data_used, data, length);
    wire->packets[wire->n_packets++] =
        (struct nicsim_wire_packet){.offset = wire->data_used, .time_ms = now_ms, .length = length};
    wire->data_used += length;
    return true;
}

bool
nicsim_wire_keep(struct nicsim_port *port, const uint8_t *data, uint32_t length)
{
    return port->wire.max_bytes == 0 || keep(&port->wire, data, length, nicsim_clock_ms(&port->sw->clock));
}

void
nicsim_wire_out(struct nicsim_port *port, const uint8_t *data, uint32_t length)
{
    if (nicsim_port_passes(port) && nicsim_far_out(port, data, length)) {
        port->counters.wire_out++;
    } else {
        port->counters.wire_out_dropped++;
    }
}

int
nicsim_wire_in(struct nicsim_port *port, const uint8_t *data, const uint64_t *offset, const uint32_t *length,
               uint32_t n)
{
    struct nicsim_packet packets[NICSIM_BURST];
    bool is_there = true;

    for (uint32_t done = 0; done < n && is_there;) {
        uint32_t k = RTE_MIN(n - done, (uint32_t) NICSIM_BURST);

        for (uint32_t i = 0; i < k; i++) {
            packets[i].data = data + offset[done + i];
            packets[i].length = length[done + i];
            rte_prefetch0(packets[i].data);
        }
        nicsim_lock(port);
        is_there = port->dev != NULL;
        if (is_there) {
            nicsim_pipeline(port, packets, k);
        }
        nicsim_unlock(port);
        done += k;
    }
    return is_there ? 0 : -ENODEV;
}

int64_t
nicsim_wire_receive(struct nicsim_port *port, uint8_t *data, uint64_t n_bytes, uint64_t *offset, uint32_t *length,
                    int64_t *time_ms, uint64_t n_packets)
{
    struct nicsim_wire *wire = &port->wire;
    uint64_t used = 0, n = 0;

    while (n < n_packets && wire->n_read < wire->n_packets) {
        const struct nicsim_wire_packet *packet = &wire->packets[wire->n_read];

        if (packet->length > n_bytes - used) {
            break;
        }
        memcpy(data + used, wire->data + packet->offset, packet->length);
        offset[n] = used;
        length[n] = packet->length;
        if (time_ms) {
            time_ms[n] = packet->time_ms;
        }
        used += packet->length;
        wire->data_read = packet->offset + packet->length;
        wire->n_read++;
        n++;
    }
    return (int64_t) n;
}
