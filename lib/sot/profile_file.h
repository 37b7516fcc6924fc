/* A profile as a JSON file. docs/latency-model.md describes the format. */
#ifndef SOTI_SOT_PROFILE_FILE_H
#define SOTI_SOT_PROFILE_FILE_H

#include <stddef.h>

#include "sot/profile_tables.h"

/* Statuses as sot_profile_save and sot_profile_load. */
sot_status soti_profile_save(const sot_profile *profile, const char *path);
sot_status soti_profile_load(const char *path, sot_profile **out);

/* The same from memory; file is for messages. */
sot_status soti_profile_parse(const char *file, const void *data, size_t size, sot_profile **out);

#endif
