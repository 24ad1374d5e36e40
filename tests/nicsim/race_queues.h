/* Rules through templates and flow queues, by one thread per queue. */
#ifndef RACE_QUEUES_H
#define RACE_QUEUES_H

#include <stdint.h>

#define N_FLOW_QUEUES 2

/* Between configure and start. 0, or what rte_flow_configure() said. */
int queues_configure(uint16_t port_id);
/* A table for each queue; 0 where they are there. */
int queues_prepare(uint16_t port_id);
/* For pthread_create(): the number of the queue. Makes and destroys rules, `queue_steps` times; exits on a surprise. */
void *change_through_queue(void *number);
extern long queue_steps;
/* Creations and removals that were pulled as done. */
uint64_t queues_done(void);

#endif /* RACE_QUEUES_H */
