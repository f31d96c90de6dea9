/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays a corpus folder through a fuzz target without libFuzzer. Each file is given whole and, if
 * it is short, cut at every length, always in an exact-size block so that an overread is seen.
 * An empty or missing corpus is a failure: such a test would prove nothing.
 */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (4u << 20)
#define CUT_MAX_BYTES 2048u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const uint8_t *data, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);

	if (!exact)
		abort();
	if (n)
		memcpy(exact, data, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

static int replay(const char *path, uint8_t *room)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		return -1;
	}
	n = fread(room, 1, FILE_MAX_BYTES, f);
	fclose(f);
	feed(room, n);
	if (n <= CUT_MAX_BYTES)
		for (size_t cut = 0; cut < n; cut++)
			feed(room, cut);
	return 0;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	static uint8_t room[FILE_MAX_BYTES];
	unsigned passed = 0, failed = 0;

	if (!dir) {
		fprintf(stderr, "%s: no corpus\n", argc == 2 ? argv[1] : "usage: replay FOLDER");
		return 2;
	}
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		char path[PATH_MAX];

		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], d->d_name);
		if (replay(path, room) == 0)
			passed++;
		else
			failed++;
	}
	closedir(dir);
	printf("%u inputs passed, %u failed\n", passed, failed);
	return failed || !passed;
}
