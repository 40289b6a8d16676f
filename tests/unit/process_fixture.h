/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PROCESS_FIXTURE_H
#define PROCESS_FIXTURE_H

#include "mend/process.h"

#include <stdbool.h>
#include <stdint.h>

/* What the tests of mend/process.h share: a loop, one backend and its process, a folder. Each test
 * runs in a process of its own. */

#define MS 1000000ull
#define SECOND (1000 * MS)

extern struct loop *loop;
extern struct policy_backend policy; /* all zero but name and ready_deadline */
extern struct process process;
extern int32_t receipt;
extern uint64_t start_time;
extern struct qmp_error error;
extern char folder[64], sock_path[96], pid_path[96]; /* $PIDFILE is pid_path */
extern unsigned ready, ended;			     /* news so far */
extern unsigned restarts;			     /* so often, PROCESS_ENDED starts it again */
extern uint64_t news_at;
extern char *sleep_command[];

void set_up(void);
void tear_down(void);
uint64_t now(void);

/* Counts the news; fails when it comes from outside the loop. */
void on_news(struct process *p, enum process_news what, void *owner);

/* Until news, or @ms. */
void run(unsigned ms);
void wait_ready(void); /* and nothing else */
void wait_ended(enum backend_cause cause, int detail);

void start(void);
void start_fails(const char *text);		/* with @text in the error, and nothing is left */
int32_t stranger(char *const *command, int fd); /* started outside of @process; its pid */

char **shell(const char *script);
/* Python that binds sock_path at once, listens @gap seconds later and takes one client. */
char **listener(const char *gap);
/* A server on sock_path; @backlog < 0: bound, but nobody listens. */
int serve(int backlog);
void wait_for_listener(void);

unsigned open_descriptors(void);

#endif
