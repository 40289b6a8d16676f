/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMEND_VM_H
#define QMEND_VM_H

#include "io/loop.h"
#include "policy/policy.h"
#include "qmp/error.h"

/* One VM: everything that serves one policy. VMs of one process share the loop and nothing else. */
struct vm;

/* Make room and listen; nothing is served before the loop runs. @policy must outlive the VM. */
struct vm *vm_new(struct loop *loop, const struct policy *policy, struct qmp_error *e)
	__attribute__((warn_unused_result));

/* Close everything and remove the listening sockets; backends go on. */
void vm_free(struct vm *vm);

#endif
