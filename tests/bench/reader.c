/* Reader: rows of a WebSocket to `_ready`, by a program that costs next to nothing.
 *
 * reader PORT TARGET SUBPROTOCOL prints the milliseconds from before the connection to `_ready`,
 * and the bytes that came. It unmasks and parses nothing: it looks for `"_ready"` in what comes.
 */

#define _GNU_SOURCE /* memmem */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MARK = 8, SIZE = 1 << 18 };

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static int fail(const char *what)
{
    perror(what);
    return 1;
}

int main(int count, char **arguments)
{
    static char piece[MARK + SIZE];
    char request[4096];
    if (count != 4) {
        fputs("usage: reader PORT TARGET SUBPROTOCOL\n", stderr);
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval late = {.tv_sec = 60};
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                          "Sec-WebSocket-Protocol: %s\r\n\r\n",
                          arguments[2], arguments[1], arguments[3]);
    if (length >= (int)sizeof request) {
        fputs("the target is too long\n", stderr);
        return 2;
    }

    double began = milliseconds();
    int hub = socket(AF_INET, SOCK_STREAM, 0);
    if (hub < 0 || setsockopt(hub, SOL_SOCKET, SO_RCVTIMEO, &late, sizeof late) ||
        connect(hub, (struct sockaddr *)&address, sizeof address))
        return fail("connect");
    if (write(hub, request, length) != length)
        return fail("write");
    long bytes = 0;
    size_t kept = 0; /* of the last piece: the mark may lie across two */
    for (;;) {
        ssize_t got = read(hub, piece + kept, SIZE);
        if (got < 0)
            return fail("read");
        if (got == 0) {
            fputs("the hub closed the connection\n", stderr);
            return 1;
        }
        bytes += got;
        size_t have = kept + got;
        if (memmem(piece, have, "\"_ready\"", MARK))
            break;
        kept = have < MARK - 1 ? have : MARK - 1;
        memmove(piece, piece + have - kept, kept);
    }
    printf("%.3f %ld\n", milliseconds() - began, bytes);
    return close(hub);
}
