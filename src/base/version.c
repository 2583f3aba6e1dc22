#include <realm.h>

#define TEXT_OF(number)           #number
#define JOIN(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *realm_version(void)
{
    return JOIN(REALM_VERSION_MAJOR, REALM_VERSION_MINOR, REALM_VERSION_PATCH);
}
