/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/redis_env.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "tests/tap.h"

/* See redis_env.h. */

static char dir[64];
static char url[96];
static char password_now[64];
static pid_t server;

static void
serve(const char *password, int log)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/s", dir);
	dup2(log, 1);
	dup2(log, 2);
	execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
	    path, "--save", "", "--appendonly", "no", "--dir", dir,
	    "--requirepass", password != NULL ? password : "", NULL);
	_exit(127);
}

/* What it logs later is lost, which it does not mind. */
void
redis_env_again(const char *password)
{
	char line[512];
	bool ready = false;
	FILE *log;
	int fd[2];

	snprintf(password_now, sizeof(password_now), "%s",
	    password != NULL ? password : "");
	MUST(pipe2(fd, O_CLOEXEC) == 0);
	server = fork();
	if (server == 0)
		serve(password, fd[1]);
	close(fd[1]);
	log = fdopen(fd[0], "r");
	MUST(log != NULL);
	while (!ready && fgets(line, sizeof(line), log) != NULL)
		ready = strstr(line, "eady to accept connections") != NULL;
	MUST(ready);
	fclose(log);
}

bool
redis_env_start(const char *password)
{
	if (system("command -v redis-server >/dev/null") != 0) {
		tap_lacks("redis-server");
		return false;
	}
	snprintf(dir, sizeof(dir), "/tmp/redis.XXXXXX");
	MUST(mkdtemp(dir) != NULL);
	snprintf(url, sizeof(url), "unix://%s/s", dir);
	redis_env_again(password);
	return true;
}

void
redis_env_signal(int sig)
{
	kill(server, sig);
}

void
redis_env_kill(void)
{
	char path[96];

	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	snprintf(path, sizeof(path), "%s/s", dir);
	unlink(path);
}

void
redis_env_stop(void)
{
	redis_env_kill();
	rmdir(dir);
}

const char *
redis_env_url(void)
{
	return url;
}

char *
redis_env_ask(const char *command)
{
	char *line = xasprintf("%s%s redis-cli -s %s/s %s",
	    password_now[0] != '\0' ? "REDISCLI_AUTH=" : "", password_now, dir,
	    command);
	struct buf out = { 0 };
	char bytes[256];
	FILE *f = popen(line, "r");
	size_t n;

	MUST(f != NULL);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		buf_add(&out, bytes, n);
	pclose(f);
	free(line);
	return buf_take(&out);
}
