/*
 * error.c - names for the numbers that coir returns.
 */
#include "coir/error.h"

#include <netdb.h>
#include <stddef.h>
#include <string.h>

static const struct {
    int code;
    const char *name;
} resolver_names[] = {
    { EAI_BADFLAGS, "EAI_BADFLAGS" }, { EAI_NONAME, "EAI_NONAME" },
    { EAI_AGAIN, "EAI_AGAIN" },       { EAI_FAIL, "EAI_FAIL" },
    { EAI_FAMILY, "EAI_FAMILY" },     { EAI_SOCKTYPE, "EAI_SOCKTYPE" },
    { EAI_SERVICE, "EAI_SERVICE" },   { EAI_MEMORY, "EAI_MEMORY" },
    { EAI_SYSTEM, "EAI_SYSTEM" },     { EAI_OVERFLOW, "EAI_OVERFLOW" },
};

/* The getaddrinfo() code behind a return value, or 0. */
static int resolver_code(int rc)
{
    return rc <= -COIR_EAI_BASE && rc > -COIR_EAI_BASE - 1000 ? rc + COIR_EAI_BASE : 0;
}

const char *coir_strerror(int rc)
{
    const char *text;

    if (rc >= 0)
        return "success";
    if (resolver_code(rc))
        return gai_strerror(resolver_code(rc));
    text = strerrordesc_np(-(unsigned)rc & 0x7fffffff);
    return text ? text : "unknown error";
}

const char *coir_err_name(int rc)
{
    const char *name;

    if (rc >= 0)
        return "OK";
    for (size_t i = 0; i < sizeof resolver_names / sizeof *resolver_names; i++)
        if (resolver_code(rc) == resolver_names[i].code)
            return resolver_names[i].name;
    name = strerrorname_np((int)(-(unsigned)rc & 0x7fffffff));
    return name ? name : "E?";
}
