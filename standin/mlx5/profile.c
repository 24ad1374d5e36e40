/* profile.c: what card the device is, as a file says: lines "set NAME NUMBER" and "part OP_MOD HEX".
 *
 * A part is what a real card answered to QUERY_HCA_CAP; process.py writes the file from a profile in profiles/.
 */
#include "standin.h"

#define MAX_PARTS  64
#define PART_BYTES 4096

struct standin_profile standin_profile = {1, 1, 1, 1, 20, 20};

static struct {
    uint32_t op_mod;
    uint8_t bytes[PART_BYTES];
} *parts;
static size_t n_parts;

static const struct {
    const char *name;
    uint32_t *value;
} names[] = {
    {"steering_format", &standin_profile.steering_format},
    {"aso", &standin_profile.aso},
    {"contexts", &standin_profile.contexts},
    {"queue_steering", &standin_profile.queue_steering},
    {"log_contexts", &standin_profile.log_contexts},
    {"log_counters", &standin_profile.log_counters},
};

static void
set(const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(names[i].name, name)) {
            *names[i].value = (uint32_t) strtoul(value, NULL, 0);
            return;
        }
    }
    standin_abort("the profile sets %s, which nothing is called", name);
}

static void
add_part(const char *op_mod, const char *hex)
{
    if (n_parts == MAX_PARTS || strlen(hex) > 2 * PART_BYTES) {
        standin_abort("the profile has too many parts, or part %s is too long", op_mod);
    }
    if (!parts) {
        parts = calloc(MAX_PARTS, sizeof *parts);
    }
    parts[n_parts].op_mod = (uint32_t) strtoul(op_mod, NULL, 0);
    for (size_t i = 0; hex[2 * i] && hex[2 * i + 1]; i++) {
        unsigned int byte;

        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            standin_abort("the profile's part %s is not hexadecimal", op_mod);
        }
        parts[n_parts].bytes[i] = (uint8_t) byte;
    }
    n_parts++;
}

void
profile_read(const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;

    if (!file) {
        standin_abort("the profile %s cannot be read: %s", path, strerror(errno));
    }
    while (getline(&line, &room, file) >= 0) {
        char *rest = NULL, *kind = strtok_r(line, " \n", &rest);
        char *name = strtok_r(NULL, " \n", &rest), *value = strtok_r(NULL, " \n", &rest);

        if (!kind || !name || !value) {
            standin_abort("the profile %s has a line that says nothing", path);
        }
        (strcmp(kind, "part") ? set : add_part)(name, value);
    }
    free(line);
    fclose(file);
}

/* The E-Switch is the stand-in's own affair: whether there is one is said by how many ports it has. */
bool
profile_recorded(uint32_t op_mod, void *out)
{
    for (size_t i = 0; i < n_parts; i++) {
        if ((parts[i].op_mod & ~1u) == (op_mod & ~1u)) {
            memcpy(out, parts[i].bytes, PART_BYTES);
            if ((op_mod & ~1u) == MLX5_GET_HCA_CAP_OP_MOD_GENERAL_DEVICE) {
                MLX5_SET(cmd_hca_cap, out, eswitch_manager, standin_settings.is_switch);
            }
            return true;
        }
    }
    return false;
}
