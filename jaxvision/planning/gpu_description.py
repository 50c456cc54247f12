"""GPUs in the words of XLA's `GpuTargetConfigProto`, so that it compiles for one that is not here.

Figures of NVIDIA's Hopper tuning guide and datasheets.
"""

# (name, bytes of memory, bytes a second)
GPUS = {
    "h100": ("NVIDIA H100 80GB HBM3", 84942979072, 3352320000000),
    "h200": ("NVIDIA H200 141GB HBM3e", 151397597184, 4800000000000),
}
HOPPER = """\
gpu_device_info {{
  name: "{name}"
  device_vendor: "NVIDIA Corporation"
  platform_version: "Compute Capability 9.0a"
  model_str: "{name}"
  cuda_compute_capability {{ major: 9 feature_extension: ACCELERATED_FEATURES }}
  device_memory_size: {memory}
  memory_bandwidth: {rate}
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  core_count: 132
  fpus_per_core: 128
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  device_address_bits: 64
  pcie_bandwidth: 34359738368
  ecc_enabled: true
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{name}"
"""


def description(kind: str) -> str:
    """The text proto of "h100" or "h200"."""
    name, memory, rate = GPUS[kind]
    return HOPPER.format(name=name, memory=memory, rate=rate)
