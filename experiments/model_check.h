#pragma once

#include <memory>

#include <c10/core/Device.h>

#include "experiments/experiment.h"
#include "models/archive.h"

namespace namm::experiments {

/// Loads the archive of a config. Throws DataError: as Archive::load (the text says how to make a missing
/// archive), or when it differs from what the config says of it.
std::shared_ptr<const models::Archive> load_model(const ModelConfig& config, c10::Device device);

/// Throws DataError naming the first value in which the contract differs from the config.
void check_contract(const ModelConfig& config, const models::Contract& contract, const std::string& where);

}  // namespace namm::experiments
