#pragma once

#include <napi.h>

#include <memory>

#include "mapping.h"

namespace vmb {

/** linearMapping. */
void ExportLinearMapping(Napi::Env env, Napi::Object exports);

/** The mapping of a value that is an open LinearMapping, else null. */
std::shared_ptr<Mapping> LinearMappingOf(Napi::Env env, napi_value value);

}  // namespace vmb
