"""Windows in, targets out: bundles, and what runs them on a CPU or a GPU.

manifest, bundle        what a bundle says, and the folder that it is
generator, opening      the boundary to the engine, and how a bundle becomes a generator
single_graph            targets that are one graph each, as the demo's
terramind, pipeline     TerraMind: batches, and its graphs bound on one device
diffusion, denoiser     DDIM's coefficients, and the loop over them
devices, gpus, device_lock
                        names of devices; what NVIDIA's driver says; one process to a GPU
runtime, sessions, io_binding, prepared
                        ONNX Runtime: options, sessions, bound tensors, graphs prepared once per machine
selftest                a bundle against its reference
work, timing, speed     how long it takes: counted, measured, and known by who plans
cpu, cuda               rewriting graphs for a device
export                  from terratorch to a bundle (extra `export`)
packing                 any ONNX model as a bundle
bundles                 the built-in demo
"""
