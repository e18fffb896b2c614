// What libtorch offers in C++ and tch does not: TF32 switches, allocator statistics, versions, and the update of all parameters in one
// call. A C interface; every exception ends here as a text that the caller frees.

#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/_foreach_add.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/version.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

namespace {

// Runs `body`; null when it returns, else the error's text, to be freed by `bs_free`.
template <typename Body>
char* guarded(Body body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an exception that is not a std::exception");
  }
}

}  // namespace

extern "C" {

void bs_free(char* text) { free(text); }

// The version of the headers this file was compiled with.
const char* bs_built_version() { return TORCH_VERSION; }

// The configuration that the loaded libtorch tells of itself; contains "TORCH_VERSION=".
char* bs_show_config(char** config) {
  return guarded([&] { *config = strdup(at::show_config().c_str()); });
}

char* bs_cuda_versions(int64_t* cudart, int64_t* cudnn) {
  return guarded([&] {
    const auto& hooks = at::detail::getCUDAHooks();
    *cudart = hooks.versionCUDART();
    *cudnn = hooks.hasCuDNN() ? hooks.versionRuntimeCuDNN() : 0;
  });
}

// Products of f32 matrices and convolutions may (1) or may not (0) use TF32. cuDNN's own default is 1.
char* bs_set_tf32(int allowed) {
  return guarded([&] {
    auto& context = at::globalContext();
    context.setAllowTF32CuBLAS(allowed != 0);
    context.setAllowTF32CuDNN(allowed != 0);
    context.setBenchmarkCuDNN(false);
  });
}

char* bs_cuda_peak_bytes(int device, uint64_t* bytes) {
  return guarded([&] {
    const auto stats = c10::getDeviceAllocator(c10::kCUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    *bytes = static_cast<uint64_t>(stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak);
  });
}

char* bs_cuda_reset_peak(int device) {
  return guarded([&] { c10::getDeviceAllocator(c10::kCUDA)->resetPeakStats(static_cast<c10::DeviceIndex>(device)); });
}

char* bs_cuda_empty_cache() {
  return guarded([] { c10::getDeviceAllocator(c10::kCUDA)->emptyCache(); });
}

// values[i] += alpha * steps[i], outside autograd; undefined steps (of a parameter the loss does not depend on) count as zero. On CUDA this is one kernel per few hundred tensors.
char* bs_add_scaled(at::Tensor* const* values, at::Tensor* const* steps, size_t count, double alpha) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> left, right;
    left.reserve(count);
    right.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      if (steps[i]->defined()) {
        left.push_back(*values[i]);
        right.push_back(*steps[i]);
      }
    }
    if (!left.empty()) {
      at::_foreach_add_(left, right, alpha);
    }
  });
}

}  // extern "C"
