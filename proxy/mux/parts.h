/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MUX_PARTS_H
#define MUX_PARTS_H

#include "mux/router.h"
#include "qmp/build.h"

/* What the parts of the router offer each other; nobody else includes this. */

static inline struct conn *router_conn(const struct router *rt, uint32_t slot)
{
	return (struct conn *)region_at(rt->region, SECTION_CONN, slot);
}

struct client *router_client(const struct router *rt, uint32_t slot);

/* client.c: one client. */
enum client_turn {
	TURN_DONE,    /* its next command has left the queue */
	TURN_NOTHING, /* it has none that can go on before a reply to it, or QEMU, comes */
	TURN_FULL,    /* it waits for a place at QEMU */
};

/* Take what was read apart; OOB commands leave at once, the others become pending. */
void client_scan(struct router *rt, uint32_t slot);
/* Give back the memory of what nobody needs any more, in the caller's transaction. */
void client_drop_read(struct router *rt, uint32_t slot);
/* Does so much wait for it that it should read before it asks for more? */
bool client_must_read(const struct router *rt, uint32_t slot);
/* Is it done: nothing more to come, nothing to answer, nothing to send? */
bool client_is_done(const struct router *rt, uint32_t slot);
void client_close(struct router *rt, uint32_t slot, const char *why);
/* Read no more; close when all is sent. Part of the caller's transaction. */
void client_drain(struct router *rt, uint32_t slot);
/* Send it QEMU's greeting if it has not got it. */
void client_greet(struct router *rt, uint32_t slot);
/* Is it there, and is it the one that asked? */
bool client_is(const struct router *rt, uint32_t slot, uint32_t generation);
/* Append to what it (or QEMU) will be sent, in the caller's transaction. A client for which there
 * is no room is doomed; for QEMU room must have been made. */
void client_append(struct router *rt, uint32_t slot, struct span bytes);
void client_append_queue(struct router *rt, uint32_t slot, const struct queue *bytes);
bool client_is_doomed(const struct router *rt, uint32_t slot);
/* A message of @size bytes is about to be appended: however large, it does not count against the
 * limit of what may wait for this client. */
void client_expect(struct router *rt, uint32_t slot, uint64_t size);
/* Something of what waited has been sent, or could not be. */
void client_sent(struct router *rt, uint32_t slot);
/* turn.c */
/* Answer or forward the first pending command, if its time has come. */
enum client_turn client_turn(struct router *rt, uint32_t slot) __attribute__((warn_unused_result));
/* The answer of request @number, whose return value is @body, is also that of this client's first
 * pending command if it waits for it. */
void client_share(struct router *rt, uint32_t slot, uint64_t number, struct span body);

/* request.c: what is on its way. */
struct request *request_find(const struct router *rt, uint64_t number);
/* A free one, numbered, in the caller's transaction; NULL: too many are on their way. */
struct request *request_new(struct router *rt, uint32_t slot, const struct qmp_message *m);
void request_free(struct router *rt, struct request *q);
/* May one more in-band (or OOB) command go to QEMU? */
bool request_has_room(const struct router *rt, bool oob);
/* Is there a way to send it that QEMU's limits allow? */
bool request_fits(const struct qmp_message *m);
/* Bytes of room that request_send() needs. */
uint64_t request_room(const struct qmp_message *m);
/* The request that a reply with this id answers, and the client's id as QEMU prints it; or NULL. */
struct request *request_of_reply(struct router *rt, struct span id, struct span *client_id);
/* Queue the command for QEMU, with a descriptor or -1. */
void request_send(struct router *rt, struct request *q, const struct qmp_message *m, int fd);

/* qemu.c: the other end. */
void qemu_scan(struct router *rt);
void qemu_lost(struct router *rt);

/* names.c: getfd names, which live in the monitor and must not outlive their owners. */
/* The name that @m makes or closes is noted in @q, if there is room for it. */
void names_note(struct router *rt, struct request *q, const struct qmp_message *m);
void names_settle(struct router *rt, const struct request *q, bool succeeded);
/* QEMU has refused a command that carried a descriptor, and may still hold it for whoever comes
 * next: take it out of there before anybody does. */
void names_collect_stray(struct router *rt);
/* A client has left: its names are closed when QEMU has room. */
void names_abandon(struct router *rt, uint32_t slot, uint32_t generation);
/* Send the next getfd or closefd of qmend's own that is due; false when there is none, or no room.
 */
bool names_work(struct router *rt);
void names_clear(struct router *rt);

/* cache.c: answers that cannot change while a QEMU lives. */
/* 1 + the number of the answer to @m, 0: it is none of these. */
uint8_t cache_number(const struct qmp_message *m);
bool cache_has(const struct router *rt, uint8_t number);
void cache_store(struct router *rt, uint8_t number, struct span body);
const struct queue *cache_body(const struct router *rt, uint8_t number);
void cache_clear(struct router *rt);

/* access.c */
bool access_read_only_allows(const char *command);
bool access_takes_fd(const char *command);
/* A query without arguments that changes nothing: may be asked once for several. */
bool access_is_shareable(const struct qmp_message *m);

/* status.c: the answer of x-qmend-status. */
void status_print(struct router *rt, struct qmp_buffer *out);

#endif
