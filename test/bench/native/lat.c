/*
 * lat DEVICE PHASE=COUNT...: measures a V4L2 capture node as a program sees it. It runs on the fake node itself for the
 * native figures, and under test/preload's library for a back-end. It prints lines of series.h; times are microseconds.
 *
 *   cold=N        the first commands of a new connection (G_FMT)
 *   warm=N        commands that are not measured
 *   files=N       opens N more files, each a session, and leaves them open
 *   G_FMT=N       commands one after the other: 208 bytes there and back
 *   G_INPUT=N     the same with 4 bytes back
 *   EXT_CTRLS=N   the same: G_EXT_CTRLS of one control
 *   paced=N       G_INPUT, 2 ms apart, so that the back-end sleeps in between
 *   stream=N      frames as fast as they come, through four buffers
 *   rateR=N       frames at R a second, as S_PARM sets it
 *   hop=N, hop-lane=N   the floors of hop.h; DEVICE is `-`
 *
 * BENCH_PID is the process whose threads are watched, BENCH_COUNTERS the fake node's file. Only one command is in flight at
 * a time, as with the Linux driver.
 */
#include <linux/videodev2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "hop.h"
#include "node.h"
#include "process_use.h"
#include "series.h"

enum { BUFFERS = 4, PACE_NS = 2000000, TYPE = V4L2_BUF_TYPE_VIDEO_CAPTURE };

static const char *path;
static pid_t daemon_pid;
static struct counters *counters;

static void get_format(void) {
  struct v4l2_format format = {.type = TYPE};
  must(VIDIOC_G_FMT, &format, "G_FMT");
}

static void get_input(void) {
  int input = 0;
  must(VIDIOC_G_INPUT, &input, "G_INPUT");
}

static void get_controls(void) {
  struct v4l2_ext_control control = {.id = V4L2_CID_BRIGHTNESS};
  struct v4l2_ext_controls controls = {.which = V4L2_CTRL_WHICH_CUR_VAL, .count = 1, .controls = &control};
  must(VIDIOC_G_EXT_CTRLS, &controls, "G_EXT_CTRLS");
}

static void measure_commands(const char *phase, long count, void (*command)(void), long pause) {
  struct series series = new_series(count);
  struct use before, after;
  look(daemon_pid, counters, &before);
  const double start = now();
  for (long i = 0; i < count; i++) {
    if (pause) nanosleep(&(struct timespec){0, pause}, NULL);
    const double asked = now();
    command();
    add(&series, now() - asked);
  }
  const double elapsed = now() - start;
  look(daemon_pid, counters, &after);
  report(phase, "", &series);
  if (!pause) tell(phase, "rate", count / elapsed * 1e6);
  tell(phase, "operations", (double)count);
  tell_use(phase, &before, &after, (double)count);
}

struct stream {
  struct series dequeue, queue, frame;
  void *bytes[BUFFERS];
  size_t lengths[BUFFERS];
  uint32_t first, last, wrong;
};

static void map_and_queue(struct stream *stream, uint32_t index) {
  struct v4l2_buffer buffer = {.index = index, .type = TYPE, .memory = V4L2_MEMORY_MMAP};
  must(VIDIOC_QUERYBUF, &buffer, "QUERYBUF");
  stream->lengths[index] = buffer.length;
  stream->bytes[index] = mmap(NULL, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, device, buffer.m.offset);
  if (stream->bytes[index] == MAP_FAILED) fail("mmap");
  must(VIDIOC_QBUF, &buffer, "QBUF");
}

static void pass_frames(struct stream *stream, long count, bool measured) {
  for (long i = 0; i < count; i++) {
    struct v4l2_buffer buffer = {.type = TYPE, .memory = V4L2_MEMORY_MMAP};
    const double asked = now();
    must(VIDIOC_DQBUF, &buffer, "DQBUF");
    const double got = now();
    if (memcmp(stream->bytes[buffer.index], &buffer.sequence, sizeof buffer.sequence) != 0) stream->wrong++;
    if (i == 0) stream->first = buffer.sequence;
    stream->last = buffer.sequence;
    must(VIDIOC_QBUF, &buffer, "QBUF");
    if (!measured) continue;
    add(&stream->queue, now() - got);
    add(&stream->dequeue, got - asked);
    add(&stream->frame, got - (buffer.timestamp.tv_sec * 1e6 + buffer.timestamp.tv_usec));
  }
}

static void start_stream(struct stream *stream, unsigned rate) {
  struct v4l2_streamparm parameters = {.type = TYPE};
  struct v4l2_requestbuffers request = {.count = BUFFERS, .type = TYPE, .memory = V4L2_MEMORY_MMAP};
  int type = TYPE;
  if (rate) parameters.parm.capture.timeperframe = (struct v4l2_fract){1, rate};
  must(VIDIOC_S_PARM, &parameters, "S_PARM");
  must(VIDIOC_REQBUFS, &request, "REQBUFS");
  if (request.count != BUFFERS) fprintf(stderr, "lat: REQBUFS gave %u buffers\n", request.count), exit(1);
  for (uint32_t i = 0; i < BUFFERS; i++) map_and_queue(stream, i);
  must(VIDIOC_STREAMON, &type, "STREAMON");
}

static void stop_stream(struct stream *stream) {
  struct v4l2_requestbuffers none = {.count = 0, .type = TYPE, .memory = V4L2_MEMORY_MMAP};
  int type = TYPE;
  must(VIDIOC_STREAMOFF, &type, "STREAMOFF");
  for (uint32_t i = 0; i < BUFFERS; i++) munmap(stream->bytes[i], stream->lengths[i]);
  must(VIDIOC_REQBUFS, &none, "REQBUFS(0)");
}

static void report_stream(const char *phase, struct stream *stream, long count, double elapsed) {
  report(phase, "", &stream->frame);
  report(phase, "qbuf.", &stream->queue);
  report(phase, "dqbuf.", &stream->dequeue);
  tell(phase, "rate", count / elapsed * 1e6);
  tell(phase, "lost", (double)(stream->last - stream->first + 1) - (double)count);
  tell(phase, "wrong", stream->wrong);
}

static void measure_stream(const char *phase, long count, unsigned rate) {
  struct stream stream = {.dequeue = new_series(count), .queue = new_series(count), .frame = new_series(count)};
  const long warm = count / 10 + 1, resting = BUFFERS + 1;
  struct use before, after;
  start_stream(&stream, rate);
  pass_frames(&stream, warm, false);
  /* The stream comes to rest while look() waits: up to four frames are done, and at a rate some are lost. */
  look(daemon_pid, counters, &before);
  pass_frames(&stream, resting, false);
  const double start = now();
  pass_frames(&stream, count, true);
  const double elapsed = now() - start;
  look(daemon_pid, counters, &after);
  stop_stream(&stream);
  report_stream(phase, &stream, count, elapsed);
  tell(phase, "operations", (double)(warm + resting + count));
  tell_use(phase, &before, &after, (double)(after.counters.frames - before.counters.frames) ?: (double)count);
}

static void measure_files(long count) {
  struct series series = new_series(count);
  for (long i = 0; i < count; i++) {
    const double asked = now();
    open_device(path);
    add(&series, now() - asked);
  }
  report("files", "", &series);
}

static void warm_up(long count) {
  for (long i = 0; i < count; i += 3) get_format(), get_input(), get_controls();
}

static const struct command {
  const char *phase;
  void (*run)(void);
  long pause;
} commands[] = {
    {"cold", get_format, 0}, {"G_FMT", get_format, 0}, {"G_INPUT", get_input, 0}, {"EXT_CTRLS", get_controls, 0},
    {"paced", get_input, PACE_NS},
};

static bool run_command(const char *phase, long count) {
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(commands[i].phase, phase) != 0) continue;
    measure_commands(phase, count, commands[i].run, commands[i].pause);
    return true;
  }
  return false;
}

static bool run_phase(const char *phase, long count) {
  unsigned rate = 0;
  const bool is_lane = strcmp(phase, "hop-lane") == 0;
  if (is_lane || strcmp(phase, "hop") == 0) return measure_hops(phase, count, is_lane), true;
  if (device < 0) return false;
  if (strcmp(phase, "warm") == 0) return warm_up(count), true;
  if (strcmp(phase, "files") == 0) return measure_files(count), true;
  if (strcmp(phase, "stream") == 0 || sscanf(phase, "rate%u", &rate) == 1) return measure_stream(phase, count, rate), true;
  return run_command(phase, count);
}

int main(int count, char **words) {
  if (count < 3) return fprintf(stderr, "usage: lat DEVICE|- PHASE=COUNT...\n"), 2;
  daemon_pid = getenv("BENCH_PID") ? atoi(getenv("BENCH_PID")) : 0;
  counters = getenv("BENCH_COUNTERS") ? map_counters("BENCH_COUNTERS") : NULL;
  if (strcmp(words[1], "-") != 0) {
    path = words[1];
    const double asked = now();
    device = open_device(path);
    tell("open", "first", now() - asked);
  }
  for (int i = 2; i < count; i++) {
    char *equals = strchr(words[i], '=');
    const long number = equals ? atol(equals + 1) : 0;
    if (equals) *equals = 0;
    if (number < 1 || !run_phase(words[i], number)) return fprintf(stderr, "lat: no phase %s here\n", words[i]), 2;
    fflush(stdout);
  }
  return 0;
}
