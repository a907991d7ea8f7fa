#include "hop.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_use.h"
#include "series.h"

static int kick, call, done;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t submitted = PTHREAD_COND_INITIALIZER;
static long waiting;

static void signal_fd(int fd) {
  const uint64_t one = 1;
  if (write(fd, &one, sizeof one) < 0) abort();
}

static void drain_fd(int fd) {
  uint64_t count;
  if (read(fd, &count, sizeof count) < 0) abort();
}

static void *work(void *unused) {
  pthread_mutex_lock(&mutex);
  for (;;) {
    while (waiting == 0) pthread_cond_wait(&submitted, &mutex);
    waiting--;
    pthread_mutex_unlock(&mutex);
    signal_fd(done);
    pthread_mutex_lock(&mutex);
  }
  return unused;
}

static void submit(void) {
  pthread_mutex_lock(&mutex);
  waiting++;
  pthread_mutex_unlock(&mutex);
  pthread_cond_signal(&submitted);
}

static _Noreturn void serve(bool lane) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  pthread_t thread;
  if (lane && pthread_create(&thread, NULL, work, NULL) != 0) abort();
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_ctl(epoll, EPOLL_CTL_ADD, kick, &(struct epoll_event){.events = EPOLLIN, .data.fd = kick});
  epoll_ctl(epoll, EPOLL_CTL_ADD, done, &(struct epoll_event){.events = EPOLLIN, .data.fd = done});
  for (struct epoll_event event;;) {
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    drain_fd(event.data.fd);
    if (lane && event.data.fd == kick) submit();
    else signal_fd(call);
  }
}

static void ask(void) {
  signal_fd(kick);
  poll(&(struct pollfd){call, POLLIN, 0}, 1, -1);
  drain_fd(call);
}

void measure_hops(const char *phase, long count, bool lane) {
  kick = eventfd(0, EFD_CLOEXEC);
  call = eventfd(0, EFD_CLOEXEC);
  done = eventfd(0, EFD_CLOEXEC);
  const pid_t server = fork();
  if (server < 0) abort();
  if (server == 0) serve(lane);
  for (long i = 0; i < count / 10; i++) ask();
  struct series series = new_series(count);
  struct use before, after;
  look(server, NULL, &before);
  const double start = now();
  for (long i = 0; i < count; i++) {
    const double asked = now();
    ask();
    add(&series, now() - asked);
  }
  tell(phase, "rate", count / (now() - start) * 1e6);
  look(server, NULL, &after);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  report(phase, "", &series);
  tell_use(phase, &before, &after, count);
  close(kick), close(call), close(done);
}
