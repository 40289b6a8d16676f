/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies from text to model: what is read, every error with its place, what is printed. Texts
 * have ' for " so that they can be read. Files and folders are the matter of tests/proxy. */
#define _GNU_SOURCE /* memmem() */
#include "policy/policy_recipe.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/json.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

#define HEAD "{'vm':'v','qemu':'/q','listen':['/l'],"
#define EVENT "'event':'E','data':{'id':'${netdev}'}"

static const char recipe_text[] =
	"{'recipe':'r','parameters':{'netdev':{},'deadline':{'default':'3s'},\n"
	"'label':{'default':'${vm}/${backend}'}},\n"
	"'rules':[{'name':'${label} is gone','on':[{'backend':'${backend}','is':'exited'},\n"
	"{" EVENT "}],'verdict':'hold','do':[{'start':'${backend}'},\n"
	"{'await':{" EVENT "},'for':'${deadline}'}]}],\n"
	"'ends':[{'execute':'del','arguments':{'id':'${netdev}','n':1e1}},{'execute':'${vm}'}],"
	"'begins':[{'execute':'add'}]}";

static char *quoted(const char *text)
{
	char *copy = strdup(text);

	for (char *c = copy; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	return copy;
}

/* Parse @text with @recipe as "r"; the errors, or "" with the policy in *@out. Free both. */
static char *parse(const char *text, const char *recipe, struct policy **out)
{
	static const char *const dirs[] = { NULL };
	struct qmp_buffer errors = QMP_BUFFER_INIT(1 << 20);
	struct policy_reader r = { .recipe_dirs = dirs, .errors = &errors };
	char *policy = quoted(text), *added = quoted(recipe), *result;
	bool ok;

	policy_recipe_add(&r, "r", "r.json", span_of(added));
	ok = policy_parse(&r, "p.json", span_of(policy), out);
	ck_assert_int_eq(ok, errors.len == 0);
	ck_assert_int_eq(ok, *out != NULL);
	result = policy_copy(qmp_buffer_span(&errors));
	qmp_buffer_release(&errors);
	free(policy);
	free(added);
	return result;
}

static struct policy *good(const char *text)
{
	struct policy *p;
	char *errors = parse(text, recipe_text, &p);

	ck_assert_str_eq(errors, "");
	free(errors);
	return p;
}

START_TEST(defaults)
{
	struct policy *p = good(HEAD "'backends':{}}");

	ck_assert_str_eq(p->path, "p.json");
	ck_assert_str_eq(p->vm, "v");
	ck_assert_str_eq(p->qemu, "/q");
	ck_assert_uint_eq(p->listen_count, 1);
	ck_assert_str_eq(p->listen[0].path, "/l");
	ck_assert_uint_eq(p->listen[0].mode, 0600);
	ck_assert(p->listen[0].uid == (uid_t)-1 && p->listen[0].gid == (gid_t)-1);
	ck_assert_int_eq(p->listen[0].access, POLICY_FULL);
	ck_assert_uint_eq(p->limits.clients, 64);
	ck_assert_uint_eq(p->limits.queue, 32u << 20);
	ck_assert_uint_eq(p->limits.memory, 256u << 20);
	ck_assert(!p->keep_fd_names && !p->coalesce);
	ck_assert_uint_eq(p->backend_count, 0);
	policy_free(p);
}
END_TEST

START_TEST(everything_given)
{
	struct policy *p = good(
		"// C++\n{'vm':'v','qemu':'/a//b/./c', /* C */ "
		"'listen':[{'path':'/l','mode':'0666',"
		"'user':'root','group':'root','access':'read-only'},'/m'],'limits':{'clients':5,"
		"'queue':'64KiB','memory':'1GiB'},'keep-fd-names':true,'coalesce':true}");

	ck_assert_str_eq(p->qemu, "/a/b/c");
	ck_assert_uint_eq(p->listen_count, 2);
	ck_assert_uint_eq(p->listen[0].mode, 0666);
	ck_assert(p->listen[0].uid == 0 && p->listen[0].gid == 0);
	ck_assert_int_eq(p->listen[0].access, POLICY_READ_ONLY);
	ck_assert_uint_eq(p->limits.clients, 5);
	ck_assert_uint_eq(p->limits.queue, 65536);
	ck_assert_uint_eq(p->limits.memory, 1u << 30);
	ck_assert(p->keep_fd_names && p->coalesce);
	policy_free(p);
}
END_TEST

START_TEST(backend_defaults)
{
	struct policy *p = good(HEAD "'backends':{'b':{'recipe':'r','netdev':'n',"
				     "'command':['x']}}}");
	const struct policy_backend *b = &p->backends[0];

	ck_assert_uint_eq(p->backend_count, 1);
	ck_assert_str_eq(b->name, "b");
	ck_assert_str_eq(b->recipe, "r");
	ck_assert_ptr_null(b->socket);
	ck_assert_ptr_null(b->pidfile);
	ck_assert(!b->handover);
	ck_assert_int_eq(b->ready, POLICY_READY_STARTED);
	ck_assert_uint_eq(b->ready_deadline, 10 * SECOND);
	ck_assert_uint_eq(b->backoff_first, 100 * MS);
	ck_assert_uint_eq(b->backoff_max, 10 * SECOND);
	ck_assert_uint_eq(b->budget_faults, 10);
	ck_assert_uint_eq(b->budget_period, 60 * SECOND);
	policy_free(p);
}
END_TEST

START_TEST(parameters_are_put_in)
{
	struct policy *p = good(
		HEAD "'backends':{'b':{'recipe':'r','netdev':'n\\u00e9\\\"','socket':'/s',"
		     "'pidfile':'/run/${vm}/${backend}.pid','ready-deadline':'250ms',"
		     "'backoff':{'first':'1ms','max':'2m'},'budget':{'faults':64,'period':'1h'},"
		     "'command':['x','--fd=${fd}','${pidfile}','$$${socket}$$','${netdev}']}}}");
	const struct policy_backend *b = &p->backends[0];
	const struct policy_rule *rule = &b->rules[0];

	ck_assert(b->handover);
	ck_assert_int_eq(b->ready, POLICY_READY_PIDFILE);
	ck_assert_str_eq(b->pidfile, "/run/v/b.pid");
	ck_assert_str_eq(b->command[1], "--fd=3");
	ck_assert_str_eq(b->command[2], "/run/v/b.pid");
	ck_assert_str_eq(b->command[3], "$/s$");
	ck_assert_str_eq(b->command[4], "n\xc3\xa9\"");
	ck_assert_ptr_null(b->command[5]);
	ck_assert_uint_eq(b->backoff_first, 1 * MS);
	ck_assert_uint_eq(b->backoff_max, 120 * SECOND);
	ck_assert_uint_eq(b->budget_faults, 64);
	ck_assert_uint_eq(b->budget_period, 3600 * SECOND);
	ck_assert_uint_eq(b->rule_count, 1);
	ck_assert_str_eq(rule->name, "v/b is gone");
	ck_assert_int_eq(rule->verdict, POLICY_HOLD);
	ck_assert_uint_eq(rule->trigger_count, 2);
	ck_assert_int_eq(rule->triggers[0].kind, POLICY_ON_BACKEND_EXITED);
	ck_assert_int_eq(rule->triggers[1].kind, POLICY_ON_EVENT);
	ck_assert_str_eq(rule->triggers[1].event.name, "E");
	ck_assert_uint_eq(rule->triggers[1].event.match_count, 1);
	ck_assert_str_eq(rule->triggers[1].event.match[0].key, "id");
	ck_assert_str_eq(rule->triggers[1].event.match[0].value, "\"n\\u00E9\\\"\"");
	ck_assert_uint_eq(rule->step_count, 2);
	ck_assert_int_eq(rule->steps[0].kind, POLICY_STEP_START);
	ck_assert_uint_eq(rule->steps[0].deadline, 250 * MS);
	ck_assert_int_eq(rule->steps[1].kind, POLICY_STEP_AWAIT);
	ck_assert_str_eq(rule->steps[1].event.name, "E");
	ck_assert_uint_eq(rule->steps[1].deadline, 3 * SECOND);
	ck_assert_uint_eq(b->end_count, 2);
	ck_assert_str_eq(b->ends[0].name, "del");
	ck_assert_str_eq(b->ends[0].match[0].value, rule->triggers[1].event.match[0].value);
	ck_assert_str_eq(b->ends[0].match[1].value, "10");
	ck_assert_str_eq(b->ends[1].name, "v");
	ck_assert_uint_eq(b->ends[1].match_count, 0);
	ck_assert_uint_eq(b->begin_count, 1);
	ck_assert_str_eq(b->begins[0].name, "add");
	policy_free(p);
}
END_TEST

/* Which readiness follows from which keys. */
static const struct {
	const char *keys;
	enum policy_ready ready;
} readiness[] = {
	{ "'command':['x']", POLICY_READY_STARTED },
	{ "'command':['x'],'socket':'/s'", POLICY_READY_LISTENS },
	{ "'command':['x','${socket}'],'socket':'/s'", POLICY_READY_LISTENS },
	{ "'command':['x','${fd}'],'socket':'/s'", POLICY_READY_STARTED },
	{ "'command':['x','${fd}'],'socket':'/s','pidfile':'/p'", POLICY_READY_STARTED },
	{ "'command':['x','${pidfile}'],'socket':'/s','pidfile':'/p'", POLICY_READY_PIDFILE },
	{ "'command':['x'],'socket':'/s','pidfile':'/p'", POLICY_READY_LISTENS },
	{ "'command':['x'],'pidfile':'/p','ready':'pidfile'", POLICY_READY_PIDFILE },
	{ "'command':['x'],'socket':'/s','ready':'started'", POLICY_READY_STARTED },
};

START_TEST(readiness_follows)
{
	char text[512];
	struct policy *p;

	snprintf(text, sizeof(text), HEAD "'backends':{'b':{'recipe':'r','netdev':'n',%s}}}",
		 readiness[_i].keys);
	p = good(text);
	ck_assert_int_eq(p->backends[0].ready, readiness[_i].ready);
	policy_free(p);
}
END_TEST

/* What is wrong with a policy, and all that is said about it. */
static const struct {
	const char *text;
	const char *errors;
} wrong[] = {
	{ "", "p.json:1:1: the text ends too early: expected one JSON object (comments are "
	      "allowed)\n" },
	{ "{\n?}", "p.json:2:1: invalid char in json text: expected one JSON object (comments are "
		   "allowed)\n" },
	{ "[]", "p.json:1:1: a policy is an array: expected an object: { ... }\n" },
	{ "{'vm':'v','qemu':'/q','listen':['/l'],\n 'vm':'w'}",
	  "p.json:2:2: duplicate key 'vm': expected one JSON object (comments are allowed)\n" },
	{ "{}", "p.json:1:1: 'vm' is missing in a policy: expected the name of the VM\n"
		"p.json:1:1: 'qemu' is missing in a policy: expected the path of QEMU's monitor "
		"socket\n"
		"p.json:1:1: 'listen' is missing in a policy: expected a list of sockets: "
		"[ \"/run/...\" ]\n" },
	{ "{'vm':'a/b','qemu':'q',\n'listen':[]}",
	  "p.json:1:7: 'a/b' is no name of a VM: expected 1 to 64 of A-Z, a-z, 0-9, '.', '_' and "
	  "'-'\n"
	  "p.json:1:20: 'q' is no absolute path: write it from the root, as in \"/run/...\"\n"
	  "p.json:2:10: 'listen' is empty: expected at least one socket for the clients\n" },
	{ HEAD "'baccends':1,\n'zz\\n':2}",
	  "p.json:1:39: unknown key 'baccends' in a policy: did you mean 'backends'?\n"
	  "p.json:2:1: unknown key 'zz?' in a policy: expected one of vm, qemu, listen, backends, "
	  "limits, keep-fd-names, coalesce\n" },
	{ "{'vm':'v','qemu':'/q','listen':['/l','/q','//l']}",
	  "p.json:1:38: '/q' is already used at 1:18: each socket and file of a policy needs a "
	  "path of its own\n"
	  "p.json:1:43: '/l' is already used at 1:33: each socket and file of a policy needs a "
	  "path of its own\n" },
	{ "{'vm':'v','qemu':'/${vm}','listen':['/l/',{'path':'/m','mode':'0444'},\n"
	  "{'path':'/n','mode':'4755','user':'no such','group':'no such','access':'read'}]}",
	  "p.json:1:18: '/${vm}': nothing is put in for ${...} here: write the path out\n"
	  "p.json:1:37: '/l/' is a folder: expected the path of a file in it\n"
	  "p.json:1:63: with the permissions \"0444\" nobody can connect: expected the write bit "
	  "for somebody, as in \"0660\"\n"
	  "p.json:2:21: '4755' are no permissions: expected an octal number as a string, such as "
	  "\"0660\"\n"
	  "p.json:2:35: unknown user 'no such': expected the name of a user of this machine\n"
	  "p.json:2:53: unknown group 'no such': expected the name of a group of this machine\n"
	  "p.json:2:72: unknown word 'read': expected \"full\" or \"read-only\"\n" },
	{ HEAD "'limits':{'clients':1.5,'queue':32,'memory':'1MB'}}",
	  "p.json:1:71: 'queue' is the number '32': expected a size with its unit, such as "
	  "\"64KiB\", \"32MiB\" or \"1GiB\"\n"
	  "p.json:1:59: 'clients' is '1.5': expected a whole number from 1 to 65535\n"
	  "p.json:1:83: '1MB' is no size: expected a whole number from 1 and one of KiB, MiB, GiB, "
	  "at most 1024GiB: for example \"32MiB\"\n" },
	{ HEAD "'limits':{'memory':'1MiB'}}",
	  "p.json:1:48: 'memory' (1MiB) is less than 'queue' (32MiB, the default): expected room "
	  "for at least one full queue\n" },
	{ HEAD "'recipe':'x','rules':[]}", "p.json:1:1: this is a recipe: expected a policy; a "
					   "recipe is checked through a policy that uses it\n" },
	{ HEAD "'backends':{'b b':{'recipe':'nope','socket':'/s','any':'thing'}}}",
	  "p.json:1:51: 'b b' is no name of a backend: expected 1 to 64 of A-Z, a-z, 0-9, '.', '_' "
	  "and '-'\n"
	  "p.json:1:67: recipe 'nope' not found: expected nope.json in one of: (no folder "
	  "given)\n" },
	{ HEAD "'backends':{'b':{'socket':'/s','netdev':'n'}}}",
	  "p.json:1:55: 'recipe' is missing in a backend: expected the name of a recipe\n" },
	{ HEAD "'backends':{'b':{'recipe':'r','netdew':'n','deadline':3,'command':['x'],\n"
	       "'ready-deadline':10}}}",
	  "p.json:1:69: unknown key 'netdew' in a backend: did you mean 'netdev'?\n"
	  "p.json:1:93: 'deadline' is the number '3': expected a string\n"
	  "p.json:2:18: 'ready-deadline' is the number '10': expected a time with its unit, such "
	  "as \"10s\", \"250ms\" or \"2m\"\n"
	  "p.json:1:51: 'netdev' is missing: the recipe 'r' needs it\n" },
	{ HEAD "'backends':{'b':{'recipe':'r','netdev':'n','deadline':'3','command':['x']}}}",
	  "r.json:5:56: '3' is no time: expected a whole number from 1 and one of ms, s, m, h, at "
	  "most 24h: for example \"250ms\" or \"10s\" (for the backend 'b' at p.json:1:51)\n" },
	{ HEAD "'backends':{'b':{'recipe':'r','netdev':'${vm}','socket':'/s'}}}",
	  "p.json:1:78: parameter 'netdev': nothing is put in for ${...} here: write the value "
	  "out\n"
	  "r.json:4:74: the rule starts the backend, which has no \"command\": give it one, or "
	  "take a recipe that only waits (for the backend 'b' at p.json:1:51)\n" },
	{ HEAD "'backends':{'b':{'recipe':'r','netdev':'n','command':[]}}}",
	  "p.json:1:92: 'command' is empty: expected [ \"program\", \"argument\" ], or no "
	  "'command' when something else starts the backend\n" },
	{ HEAD "'backends':{'b':{'recipe':'r','netdev':'n','command':['./x',1,'${fd}']}}}",
	  "p.json:1:93: './x' is a relative path: expected an absolute one, or a name that PATH "
	  "finds\n"
	  "p.json:1:99: an argument is no string (number): expected each in quotes\n"
	  "p.json:1:92: ${fd} hands a connection over, but the backend has no 'socket': add the "
	  "path on which QEMU's netdev listens\n" },
	{ HEAD "'backends':{'b':{'recipe':'r','netdev':'n',\n"
	       "'command':['x','$','a${','${socke}','${pidfile}','\\u00e9\\n${command}']}}}",
	  "p.json:2:17: a '$' alone: write \"$$\" for a dollar, \"${name}\" for a parameter\n"
	  "p.json:2:22: '${' without its '}'\n"
	  "p.json:2:27: unknown name 'socke' in ${...}: did you mean 'socket'?\n"
	  "p.json:2:38: ${pidfile} cannot be used here: the backend has no \"pidfile\"\n"
	  "p.json:2:59: ${command} cannot be used here: it is a list\n" },
	{ HEAD "'backends':{'b':{'recipe':'r','netdev':'n','command':['x'],\n'ready':'pidfile'},\n"
	       "'c':{'recipe':'r','netdev':'m','command':['x'],'ready':'listens'},\n"
	       "'d':{'recipe':'r','netdev':'l','command':['x','${fd}'],'socket':'/s',"
	       "'ready':'listens'}}}",
	  "p.json:2:9: ready is \"pidfile\", but there is none: add 'pidfile'\n"
	  "p.json:3:56: ready is \"listens\", but there is no 'socket': add it\n"
	  "p.json:4:78: ready is \"listens\", but with ${fd} it is QEMU that listens on the "
	  "socket: "
	  "expected \"pidfile\" or \"started\"\n" },
	{ HEAD "'backends':{'b':{'recipe':'r','netdev':'n','command':['x'],'socket':'/s'},\n"
	       "'c':{'recipe':'r','netdev':'n','command':['x'],'socket':'/s','pidfile':'/${fd}'}}}",
	  "p.json:2:57: '/s' is already used at 1:107: each socket and file of a policy needs a "
	  "path of its own\n"
	  "p.json:2:74: ${fd} cannot be used here: only the backend's \"command\" can take the "
	  "connection\n"
	  "r.json:4:1: this trigger is never reached: the backend 'b' has it before: give each "
	  "backend its own parameters (for the backend 'c' at p.json:2:1)\n" },
	{ HEAD "'backends':{'b':{'recipe':'r','netdev':'n','command':['x'],\n"
	       "'backoff':{'first':'11s','min':'1s'},'budget':{'faults':65,'period':'25h'}},\n"
	       "'c':{'recipe':'r','netdev':'m','command':['x'],'backoff':{'first':'11s'}}}}",
	  "p.json:2:69: '25h' is no time: expected a whole number from 1 and one of ms, s, m, h, "
	  "at most 24h: for example \"250ms\" or \"10s\"\n"
	  "p.json:2:26: unknown key 'min' in 'backoff': expected one of first, max\n"
	  "p.json:2:57: 'faults' is '65': expected a whole number from 1 to 64\n"
	  "p.json:3:58: 'first' is longer than 'max' (10s when it is not given): expected waits "
	  "that grow\n" },
};

START_TEST(policy_errors)
{
	struct policy *p;
	char *errors = parse(wrong[_i].text, recipe_text, &p);

	ck_assert_str_eq(errors, wrong[_i].errors);
	free(errors);
}
END_TEST

#define USER HEAD "'backends':{'b':{'recipe':'r','command':['x'],'socket':'/s'}}}"
#define DO "'do':[{'start':'${backend}'}]"
#define FOR_B " (for the backend 'b' at p.json:1:51)\n"

/* What is wrong with a recipe that USER uses. */
static const struct {
	const char *recipe;
	const char *errors;
} wrong_recipes[] = {
	{ "", "r.json:1:1: the text ends too early: expected one JSON object (comments are "
	      "allowed)\n" },
	{ "{'recipe':'s','rules':[],\n'more':1}",
	  "r.json:2:1: unknown key 'more' in a recipe: expected one of recipe, description, "
	  "parameters, rules, ends, begins\n"
	  "r.json:1:11: the recipe is called 's', its file r.json: expected one name\n"
	  "r.json:1:23: 'rules' has 0 entries: expected 1 to 32\n" },
	{ "{'recipe':'r','parameters':{'vm':{},\n'recipe':{},'socket':{'default':'x'},'a b':{},\n"
	  "'c':{'defaults':'x'}},'rules':[{'name':'n','on':[],'do':[{'replug':1},{}]}]}",
	  "r.json:1:29: parameter 'vm': the name means something else already: choose another\n"
	  "r.json:2:1: parameter 'recipe': every backend has a key of this name: choose another\n"
	  "r.json:2:13: parameter 'socket' has a default: a recipe can only ask for this key of "
	  "every backend: remove the default\n"
	  "r.json:2:38: 'a b' is no name of a parameter: expected 1 to 64 of A-Z, a-z, 0-9, '.', "
	  "'_' and '-'\n"
	  "r.json:3:6: unknown key 'defaults' in a parameter: did you mean 'default'?\n"
	  "r.json:3:49: 'on' has 0 entries: expected 1 to 16\n"
	  "r.json:3:59: unknown step 'replug': expected start or await\n"
	  "r.json:3:71: no step: expected { \"start\": \"${backend}\" } or { \"await\": { ... }, "
	  "\"for\": \"10s\" }\n" },
	{ "{'recipe':'r','rules':[{'name':'n','on':[{'is':'exited'},{'event':'E','data':{}},\n"
	  "{'event':'E','data':{'a':[],'b':1e999}}],'do':[{'await':{'event':'E'}},{'awaits':1}]}]}",
	  "r.json:1:42: no known trigger: expected { \"backend\": \"${backend}\", \"is\": "
	  "\"exited\" } or { \"event\": ..., \"data\": ... }\n"
	  "r.json:1:78: 'data' has 0 entries: expected 1 to 16\n"
	  "r.json:2:26: 'a' is an array: expected a string, number, true, false or null to compare "
	  "with\n"
	  "r.json:2:33: 'b' is no number that QEMU can print: expected a smaller one\n"
	  "r.json:2:48: 'for' is missing in a step 'await': expected a time with its unit, such as "
	  "\"10s\", \"250ms\" or \"2m\"\n"
	  "r.json:2:73: unknown step 'awaits': did you mean await\n" },
	{ "{'recipe':'r','rules':[{'name':'n','on':[{'backend':'other','is':'gone'},\n"
	  "{'event':'E F'}],'verdict':'holt','do':[{'start':'x','for':'5'}]}]}",
	  "r.json:2:28: unknown word 'holt': did you mean \"hold\"?" FOR_B
	  "r.json:1:53: 'other' is not the backend of this rule: write \"${backend}\"" FOR_B
	  "r.json:1:66: unknown word 'gone': expected \"exited\"" FOR_B
	  "r.json:2:10: 'E F' is no name of an event: expected one such as "
	  "\"NETDEV_STREAM_CONNECTED\"" FOR_B
	  "r.json:2:50: 'x' is not the backend of this rule: write \"${backend}\"" FOR_B
	  "r.json:2:60: '5' is no time: expected a whole number from 1 and one of ms, s, m, h, at "
	  "most 24h: for example \"250ms\" or \"10s\"" FOR_B },
	{ "{'recipe':'r','rules':[{'name':'n','on':[{'event':'E'}]," DO "},\n"
	  "{'name':'n','on':[{'event':'F'}],'verdict':'hold'," DO "},\n"
	  "{'name':'o','on':[{'event':'E','data':{'a':1}}],'verdict':'drop'," DO "},\n"
	  "{'name':'p','on':[{'event':'G'},{'event':'G'}]," DO "}]}",
	  "r.json:2:1: a second rule 'n': rename one" FOR_B
	  "r.json:3:19: this trigger is never reached: rule 'n' has it before: remove one" FOR_B
	  "r.json:4:33: this trigger is never reached: rule 'p' has it before: remove one" FOR_B },
	{ "{'recipe':'r','rules':[{'name':'n','on':[{'event':'E'}]},{'name':'m','on':[{'event':'E'}"
	  "],\n"
	  "'do':[]}],'ends':[],'begins':[{'exec':1},\n{'execute':'x','arguments':{'a':{}}}]}",
	  "r.json:1:24: 'do' is missing in a rule: expected a list of steps\n"
	  "r.json:2:6: 'do' has 0 entries: expected 1 to 32\n"
	  "r.json:2:18: 'ends' has 0 entries: expected 1 to 16\n"
	  "r.json:2:32: unknown key 'exec' in a command: expected one of execute, arguments\n"
	  "r.json:2:31: 'execute' is missing in a command: expected the name of a command\n"
	  "r.json:3:33: 'a' is an object: expected a string, number, true, false or null to "
	  "compare with\n" },
	{ "{'recipe':'r','rules':[{'name':'n','on':[{'event':'E'}]," DO "}],\n"
	  "'ends':[{'execute':'a b','arguments':{'x':'${y}'}}]}",
	  "r.json:2:20: 'a b' is no name of a command: expected one such as \"netdev_del\"" FOR_B
	  "r.json:2:44: unknown name 'y' in ${...}: expected backend, vm, socket, pidfile, "
	  "ready-deadline or a parameter of the recipe; $$ is a dollar" FOR_B },
	{ "{'recipe':'r','parameters':{'a':{'default':'${pidfile}'}},\n"
	  "'rules':[{'name':'${netdev}','on':[{'event':'E'}],'verdict':'drop','do':[{'start':'${"
	  "backend}'}]}]}",
	  "r.json:1:45: ${pidfile} cannot be used here: the backend has no \"pidfile\"" FOR_B
	  "r.json:2:19: unknown name 'netdev' in ${...}: expected backend, vm, socket, pidfile, "
	  "ready-deadline or a parameter of the recipe; $$ is a dollar" FOR_B },
	{ "{'recipe':'r','parameters':{'pidfile':{}},\n"
	  "'rules':[{'name':'n','on':[{'event':'E'}],'verdict':'drop','do':[{'start':'${backend}'}]"
	  "}]}",
	  "p.json:1:51: 'pidfile' is missing: the recipe 'r' needs it\n" },
};

START_TEST(recipe_errors)
{
	struct policy *p;
	char *errors = parse(USER, wrong_recipes[_i].recipe, &p);

	ck_assert_str_eq(errors, wrong_recipes[_i].errors);
	free(errors);
}
END_TEST

START_TEST(recipe_is_told_wrong_once)
{
	struct policy *p;
	char *errors = parse(HEAD "'backends':{'b':{'recipe':'r'},'c':{'recipe':'r'}}}", "{", &p);

	ck_assert_ptr_nonnull(strstr(errors, "r.json:1:2: "));
	ck_assert_ptr_null(strstr(strstr(errors, "r.json") + 1, "r.json"));
	free(errors);
}
END_TEST

START_TEST(long_things)
{
	struct policy *p;
	char text[1024], name[201];
	char *errors;

	memset(name, 'x', sizeof(name) - 1);
	name[200] = '\0';
	snprintf(text, sizeof(text), "{'vm':'%.64s','qemu':'/%.106s','listen':['/%.107s']}", name,
		 name, name);
	errors = parse(text, recipe_text, &p);
	ck_assert_ptr_nonnull(strstr(errors, " has 108 bytes: expected at most 107, the limit of "
					     "Unix sockets: choose a shorter path\n"));
	ck_assert_ptr_eq(strchr(errors, '\n') + 1, errors + strlen(errors));
	free(errors);
	snprintf(text, sizeof(text), "{'vm':'%.65s','qemu':'/q','listen':['/l']}", name);
	errors = parse(text, recipe_text, &p);
	ck_assert_ptr_nonnull(strstr(errors, "p.json:1:7: "));
	free(errors);
}
END_TEST

START_TEST(many_errors_end)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(1 << 20);
	struct policy *p;
	unsigned lines = 0;
	char *errors;

	qmp_buffer_printf(&text, "{");
	for (unsigned i = 0; i < 3000; i++)
		qmp_buffer_printf(&text, "'k%u':1,", i);
	qmp_buffer_printf(&text, "'z':1}");
	qmp_buffer_add(&text, (struct span){ "", 1 });
	errors = parse(text.data, recipe_text, &p);
	for (const char *c = errors; *c != '\0'; c++)
		lines += *c == '\n';
	ck_assert_uint_eq(lines, POLICY_MAX_ERRORS);
	ck_assert_ptr_nonnull(strstr(errors, "too many errors"));
	free(errors);
}
END_TEST

START_TEST(strings_grow_only_so_far)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(1 << 20);
	struct policy *p;
	char *errors;

	qmp_buffer_printf(&text,
			  HEAD "'backends':{'b':{'recipe':'r','netdev':'%09000d',"
			       "'command':['x','${netdev}${netdev}']}}}",
			  0);
	qmp_buffer_add(&text, (struct span){ "", 1 });
	errors = parse(text.data, recipe_text, &p);
	ck_assert_ptr_nonnull(strstr(errors, "the string is longer than 16384 bytes"));
	free(errors);
}
END_TEST

START_TEST(printed_as_it_runs)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(1 << 20);
	struct policy *p = good(HEAD "'backends':{'b':{'recipe':'r','netdev':'n',"
				     "'command':['x','${vm}']}}}");
	const struct json *b, *rule;
	struct qmp_error e;
	struct json *root;
	size_t offset;

	policy_print(p, &out);
	ck_assert(json_parse(qmp_buffer_span(&out), 0, &root, &offset, &e));
	ck_assert_str_eq(json_get(root, "vm")->text, "v");
	b = json_get(json_get(root, "backends"), "b");
	ck_assert_str_eq(json_get(b, "command")->first->next->text, "v");
	ck_assert_str_eq(json_get(b, "ready-deadline")->text, "10000ms");
	rule = json_get(b, "rules")->first;
	ck_assert_str_eq(json_get(rule, "name")->text, "v/b is gone");
	ck_assert_str_eq(json_get(rule, "verdict")->text, "hold");
	ck_assert_str_eq(json_get(json_get(rule, "do")->first->next, "for")->text, "3000ms");
	ck_assert_str_eq(json_get(json_get(b, "ends")->first, "execute")->text, "del");
	ck_assert_str_eq(json_get(json_get(b, "begins")->first, "execute")->text, "add");
	ck_assert_ptr_null(memmem(out.data, out.len, "${", 2));
	json_free(root);
	policy_free(p);
}
END_TEST

/* Every prefix of a text, in memory that ends where it ends: an error or a policy, no over-read. */
START_TEST(every_prefix)
{
	char *text = quoted(HEAD "'backends':{'b':{'recipe':'r','netdev':'\\u00e9$','socket':'/s',"
				 "'command':['x','$$','${fd}']}}}");

	for (size_t len = 0; len <= strlen(text); len++) {
		char *cut = policy_copy((struct span){ text, len });
		struct policy *p;
		char *errors = parse(cut, recipe_text, &p);

		ck_assert_int_eq(p != NULL, len == strlen(text));
		policy_free(p);
		free(errors);
		free(cut);
	}
	free(text);
}
END_TEST

START_TEST(unreadable)
{
	static const char *const dirs[] = { NULL };
	AUTO_BUF struct qmp_buffer errors = QMP_BUFFER_INIT(4096);
	struct policy *p;

	ck_assert(!policy_load("/nonexistent/p.json", dirs, &p, &errors));
	ck_assert_ptr_null(p);
	qmp_buffer_add(&errors, (struct span){ "", 1 });
	ck_assert_str_eq(errors.data, "/nonexistent/p.json: the policy cannot be read: No such "
				      "file or directory\n");
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *s = suite_create("policy");
	TCase *c = tcase_create("policy");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, c);
	tcase_add_test(c, defaults);
	tcase_add_test(c, everything_given);
	tcase_add_test(c, backend_defaults);
	tcase_add_test(c, parameters_are_put_in);
	tcase_add_loop_test(c, readiness_follows, 0, COUNT(readiness));
	tcase_add_loop_test(c, policy_errors, 0, COUNT(wrong));
	tcase_add_loop_test(c, recipe_errors, 0, COUNT(wrong_recipes));
	tcase_add_test(c, recipe_is_told_wrong_once);
	tcase_add_test(c, long_things);
	tcase_add_test(c, many_errors_end);
	tcase_add_test(c, strings_grow_only_so_far);
	tcase_add_test(c, printed_as_it_runs);
	tcase_add_test(c, every_prefix);
	tcase_add_test(c, unreadable);
	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
