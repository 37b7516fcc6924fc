/* See json_values.h. */
#include "json_values.h"

#include <string.h>

#include "machine.h"
#include "text.h"

json_t *json_number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *json_text(const char *bytes, size_t size)
{
    struct text valid = {0};
    text_valid(&valid, bytes, size);
    json_t *string = json_stringn(valid.bytes ? valid.bytes : "", valid.size);
    text_free(&valid);
    return string;
}

json_t *json_name(const char *string)
{
    return json_text(string, strlen(string));
}

json_t *machine_json(void)
{
    char name[128];
    json_t *object = json_object();
    machine_cpu_name(name, sizeof name);
    json_object_set_new(object, "cpu", json_name(name));
    machine_system_name(name, sizeof name);
    json_object_set_new(object, "system", json_name(name));
    json_object_set_new(object, "cpus", json_number(machine_cpu_count()));
    json_object_set_new(object, "memory_bytes", json_number(memory_total()));
    return object;
}
