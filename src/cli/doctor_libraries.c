/* The libraries as they were loaded, not as they were compiled against: asked by name, so that only
 * the folders that use them include their headers. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "cli/doctor.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef const char *(*version_function)(void);
typedef const char *(*version_of_kind_function)(int kind);

/* POSIX lets a function's address travel as void *; ISO C wants it copied. */
static bool find_function(const char *name, void *out, size_t n_out)
{
    void *const address = dlsym(RTLD_DEFAULT, name);
    if (address == NULL || n_out != sizeof address) {
        return false;
    }
    memcpy(out, &address, n_out);
    return true;
}

void doctor_check_libraries(struct doctor *doctor)
{
    static const struct {
        const char *library;
        const char *function;
        bool needed;
    } libraries[] = {
        {"libc", "gnu_get_libc_version", false},
        {"libwebsockets", "lws_get_library_version", true},
        {"jansson", "jansson_version_str", true},
        {"libcurl", "curl_version", true},
    };
    version_of_kind_function openssl;
    char value[64];
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        version_function version;
        if (find_function(libraries[i].function, &version, sizeof version)) {
            /* curl goes on with all it was built with. */
            (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(version(), " "), version());
            doctor_tell(doctor, FINDING_OK, libraries[i].library, value, "");
        } else if (libraries[i].needed) {
            doctor_tell(doctor,
                        FINDING_WARN,
                        libraries[i].library,
                        "linked statically, or its version cannot be asked for",
                        "");
        }
    }
    if (find_function("OpenSSL_version", &openssl, sizeof openssl)) {
        doctor_tell(doctor, FINDING_OK, "openssl", openssl(0), "");
    }
}
