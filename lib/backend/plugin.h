/* libsot-cuda.so, found and opened at run time, so that libsot needs nothing of CUDA. */
#ifndef SOTI_BACKEND_PLUGIN_H
#define SOTI_BACKEND_PLUGIN_H

#include "backend/backend.h"

/* The table of the CUDA plugin: libsot-cuda.so beside the library or program that this code is in
 * or, where that folder has none, where the loader finds it. It stays open for good: CUDA leaves
 * threads and exit handlers behind. Any number of threads may ask, any number of times.
 * Returns DEVICE: not found, not to be loaded, not libsot's, or of another version. */
sot_status soti_plugin_open(const soti_backend **out);

#endif
