/* control.c: the channel to tests: a stream socket, one command a line, answered by JSON lines.
 *
 * The last line of each answer is {"ok": true} or {"error": "..."}. docs/standin.md lists the commands.
 */
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "standin.h"

/* A command's words after its name, and its answer; called with the lock held. NULL, or what is wrong. */
typedef const char *command_fn(char *const words[], int n, struct text *answer);

static const char *
do_rules(char *const words[], int n, struct text *answer)
{
    record_list(answer);
    return NULL;
}

static const char *
do_refusals(char *const words[], int n, struct text *answer)
{
    record_refusals(answer);
    return NULL;
}

static const char *
do_complaints(char *const words[], int n, struct text *answer)
{
    complaint_list(answer);
    return NULL;
}

static const char *
do_objects(char *const words[], int n, struct text *answer)
{
    devx_list(answer);
    return NULL;
}

static const char *
do_counters(char *const words[], int n, struct text *answer)
{
    counter_list(answer);
    return NULL;
}

static const char *
do_contexts(char *const words[], int n, struct text *answer)
{
    context_list(answer);
    return NULL;
}

static const char *
do_context(char *const words[], int n, struct text *answer)
{
    return context_set(strtoul(words[0], NULL, 0), words[1], strtoul(words[2], NULL, 0)) ? NULL
                                                                                         : "no such context or field";
}

static const char *
do_hit(char *const words[], int n, struct text *answer)
{
    return record_hit(strtoull(words[0], NULL, 0), strtoull(words[1], NULL, 0), strtoull(words[2], NULL, 0))
               ? NULL
               : "no such rule";
}

static const char *
do_fail(char *const words[], int n, struct text *answer)
{
    enum fault_kind kind;

    if (!fault_kind_of(words[0], &kind)) {
        return "no such fault";
    }
    fault_arm(kind, strtoul(words[1], NULL, 0), strtoul(words[2], NULL, 0));
    return NULL;
}

static const char *
do_remove(char *const words[], int n, struct text *answer)
{
    device_remove();
    return NULL;
}

#define MAX_WORDS 4

static const struct {
    const char *name;
    int n_words; /* after the name */
    command_fn *run;
} commands[] = {
    {"rules", 0, do_rules},     {"refusals", 0, do_refusals}, {"complaints", 0, do_complaints},
    {"objects", 0, do_objects}, {"counters", 0, do_counters}, {"contexts", 0, do_contexts},
    {"context", 3, do_context}, {"hit", 3, do_hit},           {"fail", 3, do_fail},
    {"remove", 0, do_remove},
};

static void
answer_line(char *line, struct text *answer)
{
    char *words[MAX_WORDS], *rest = NULL;
    const char *error = "no such command";
    int n = 0;

    for (char *w = strtok_r(line, " ", &rest); w && n < MAX_WORDS; w = strtok_r(NULL, " ", &rest)) {
        words[n++] = w;
    }
    for (size_t i = 0; n && i < sizeof commands / sizeof *commands; i++) {
        if (!strcmp(words[0], commands[i].name)) {
            if (n - 1 != commands[i].n_words) {
                error = "wrong number of words";
                break;
            }
            standin_lock();
            error = commands[i].run(words + 1, n - 1, answer);
            standin_unlock();
            break;
        }
    }
    if (error) {
        text_add(answer, "{\"error\": \"%s\"}\n", error);
    } else {
        text_add(answer, "{\"ok\": true}\n");
    }
}

static void
serve(int client)
{
    FILE *in = fdopen(client, "r+");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    if (!in) {
        close(client);
        return;
    }
    while ((n = getline(&line, &room, in)) > 0) {
        struct text answer = {0};

        if (line[n - 1] == '\n') {
            line[n - 1] = '\0';
        }
        answer_line(line, &answer);
        for (size_t sent = 0; sent < answer.length;) {
            ssize_t m = send(client, answer.s + sent, answer.length - sent, MSG_NOSIGNAL);

            if (m <= 0) {
                break;
            }
            sent += m;
        }
        text_free(&answer);
    }
    free(line);
    fclose(in);
}

static void *
listen_on(void *listener)
{
    for (;;) {
        int client = accept((int) (intptr_t) listener, NULL, NULL);

        if (client >= 0) {
            serve(client);
        }
    }
    return NULL;
}

void
control_start(void)
{
    static bool is_running;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;

    if (is_running || !standin_settings.socket) {
        return;
    }
    if (strlen(standin_settings.socket) >= sizeof address.sun_path) {
        standin_abort("the path of the control socket is too long: %s", standin_settings.socket);
    }
    strcpy(address.sun_path, standin_settings.socket);
    unlink(address.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *) &address, sizeof address) || listen(listener, 1) ||
        pthread_create(&thread, NULL, listen_on, (void *) (intptr_t) listener)) {
        standin_abort("cannot listen on %s: %s", address.sun_path, strerror(errno));
    }
    pthread_setname_np(thread, "standin-control");
    pthread_detach(thread);
    is_running = true;
}
