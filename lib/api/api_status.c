/* Status names, this thread's error sentence, versions. */
#include "sot/sot.h"

#include "base/fail.h"

#define QUOTE(x)  #x
#define STRING(x) QUOTE(x)

const char *sot_status_name(sot_status status)
{
    switch (status) {
#define NAME_CASE(name, number, meaning)                                                           \
    case number:                                                                                   \
        return "SOT_" #name;
        SOT_STATUS_MAP(NAME_CASE)
#undef NAME_CASE
    default:
        return "SOT_UNKNOWN";
    }
}

const char *sot_error_message(void)
{
    return soti_fail_message();
}

uint32_t sot_version_number(void)
{
    return SOT_VERSION_MAJOR * 1000000u + SOT_VERSION_MINOR * 1000u + SOT_VERSION_PATCH;
}

const char *sot_version_string(void)
{
    return STRING(SOT_VERSION_MAJOR) "." STRING(SOT_VERSION_MINOR) "." STRING(SOT_VERSION_PATCH);
}
