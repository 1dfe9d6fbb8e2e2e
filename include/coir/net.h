/*
 * coir/net.h - connections.
 *
 * Hosts and services are strings: "localhost", "127.0.0.1", "::1", "0.0.0.0";
 * "80", "http".  Names are resolved on threads of coir's own, so that no
 * worker waits for a name server.
 */
#ifndef COIR_NET_H
#define COIR_NET_H

#include "coir/defs.h"

COIR_BEGIN_DECLS

/*
 * Make a TCP socket that listens.
 *
 * host      The address to listen on; NULL for every address, IPv6 and IPv4.
 * service   The port; "0" lets the kernel choose.
 *
 * Both are borrowed until the call returns.  The address may be taken again at
 * once after the last listener has closed (SO_REUSEADDR).
 *
 * Tasks only.
 *
 * Returns   a descriptor, to be closed with coir_close(); -EADDRINUSE; -EINVAL
 *           if service is NULL; a resolver code (see coir/error.h); -ENOMEM;
 *           what socket(2), bind(2) or listen(2) fail with; -ECANCELED or
 *           -ETIMEDOUT.
 * Suspends  if host or service is a name that must be looked up.
 */
COIR_API int coir_listen(const char *host, const char *service);

/*
 * Wait for the next connection.
 *
 * Never fails for one connection's sake: one that went away before it was
 * accepted is skipped.  When the process or the machine is out of descriptors
 * or memory, waits (10 ms, doubling up to 500 ms) and tries again.
 *
 * Tasks only; several may accept from the same listener.
 *
 * Returns   a descriptor, to be closed with coir_close(); -ECANCELED or
 *           -ETIMEDOUT; -EBADF if the listener is, or is being, closed;
 *           -EINVAL or -ENOTSOCK if it is no listening socket.
 * Suspends  until there is a connection.
 */
COIR_API int coir_accept(int listener);

/*
 * Connect to a TCP service.
 *
 * Tries each address the name has, in the resolver's order.  Nagle's delay is
 * off, as it is for accepted connections (TCP_NODELAY).
 *
 * Tasks only.
 *
 * Returns   a descriptor, to be closed with coir_close(); -EINVAL if host or
 *           service is NULL; a resolver code; -ENOMEM, also where no thread could
 *           be started to look a name up; -ECANCELED or -ETIMEDOUT; what
 *           connect(2) failed with at the last address.
 * Suspends  until connected.
 */
COIR_API int coir_connect(const char *host, const char *service);

COIR_END_DECLS

#endif
