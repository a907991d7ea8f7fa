#pragma once

#include <napi.h>

#include <memory>

#include "mapping.h"

namespace vmb {

/** Exports linearMapping. */
void ExportLinearMapping(Napi::Env env, Napi::Object exports);

/** The mapping of an open LinearMapping. Null: the value is something else, or it is closed. */
std::shared_ptr<Mapping> LinearMappingOf(Napi::Env env, napi_value value);

}  // namespace vmb
