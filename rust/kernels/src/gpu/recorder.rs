//! The lazy encoder: operations gather in one compute pass until somebody needs a result.

use super::buffer::Buffer;
use super::context::{Context, PARAM_BYTES, PARAM_WORDS};
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Operations that gather before the encoder is handed over unasked, so that the device is not idle.
const MAX_PENDING: usize = 256;
/// Bytes of uploads that wgpu holds for the next submission before we make one.
const MAX_UPLOAD: usize = 64 << 20;
/// Submissions that may be under way before recording waits for the oldest.
const MAX_IN_FLIGHT: usize = 4;
const MOST_INPUTS: usize = 2;
/// The line that stands for the parameters in each shader, and what takes its place without immediates.
const IMMEDIATE_PARAMS: &str = "var<immediate> p: Params;";
const UNIFORM_PARAMS: &str = "@group(1) @binding(0) var<uniform> p: Params;";

/// A module of kernels: the `.wgsl` file beside the CPU's kernels of the same family.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shader {
    Elementwise,
    Reduce,
    Matmul,
}

impl Shader {
    fn source(self) -> &'static str {
        match self {
            Shader::Elementwise => include_str!("../ops/elementwise.wgsl"),
            Shader::Reduce => include_str!("../ops/reduce.wgsl"),
            Shader::Matmul => include_str!("../ops/matmul.wgsl"),
        }
    }
}

/// One call of a kernel.
pub(super) struct Dispatch<'a> {
    pub shader: Shader,
    pub entry: &'static str,
    /// Values of the shader's `override`s.
    pub constants: &'a [(&'static str, u32)],
    /// Bound at 1, 2 …; the output is bound at 0.
    pub inputs: &'a [&'a Buffer],
    pub output: &'a Buffer,
    pub params: &'a [u32],
    /// Workgroups in all; the kernel numbers them `y * groups.x + x`.
    pub groups: usize,
}

type PipelineKey = (Shader, &'static str, Vec<(&'static str, u32)>);

/// Parameters without immediates: one slot a dispatch of one uniform buffer, written at each flush.
struct Uniforms {
    buffer: wgpu::Buffer,
    group: wgpu::BindGroup,
    slot: usize,
    data: Vec<u8>,
}

/// Everything behind the one lock: the open encoder and the caches of what it needs.
pub(super) struct Recorder {
    // The pass is declared first, so that it is dropped before its encoder.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    pending: usize,
    uploaded: usize,
    /// By the number of inputs.
    group_layouts: Vec<wgpu::BindGroupLayout>,
    pipeline_layouts: Vec<wgpu::PipelineLayout>,
    modules: HashMap<Shader, wgpu::ShaderModule>,
    pipelines: HashMap<PipelineKey, wgpu::ComputePipeline>,
    uniforms: Option<Uniforms>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// Epochs whose work was lost, and why: what they should have written is garbage.
    failed: HashMap<u64, String>,
}

fn buffer_entry(binding: u32, ty: wgpu::BufferBindingType, dynamic: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None },
        count: None,
    }
}

/// Splits workgroups over two axes where one cannot number them; at most one row is partly idle.
fn grid(groups: usize, most: u32) -> Option<(u32, u32)> {
    let most = most as usize;
    let rows = groups.div_ceil(most).max(1);
    // Kernels number groups, and threads of up to 256 a group, in u32.
    (rows <= most && groups + rows <= (u32::MAX / 256) as usize)
        .then(|| (groups.div_ceil(rows) as u32, rows as u32))
}

impl Recorder {
    pub fn new(device: &wgpu::Device, immediates: bool) -> Recorder {
        let uniform_layout = (!immediates).then(|| {
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &[buffer_entry(0, wgpu::BufferBindingType::Uniform, true)],
            })
        });
        let (mut group_layouts, mut pipeline_layouts) = (Vec::new(), Vec::new());
        for inputs in 0..=MOST_INPUTS as u32 {
            let entries: Vec<_> = (0..=inputs)
                .map(|i| buffer_entry(i, wgpu::BufferBindingType::Storage { read_only: i > 0 }, false))
                .collect();
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            });
            let mut groups = vec![Some(&layout)];
            groups.extend(uniform_layout.as_ref().map(Some));
            pipeline_layouts.push(device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &groups,
                immediate_size: if immediates { PARAM_BYTES } else { 0 },
            }));
            group_layouts.push(layout);
        }
        let uniforms = uniform_layout.map(|layout| {
            let slot = (PARAM_BYTES as usize)
                .next_multiple_of(device.limits().min_uniform_buffer_offset_alignment as usize);
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: (slot * MAX_PENDING) as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let one = wgpu::BufferBinding {
                buffer: &buffer,
                offset: 0,
                size: std::num::NonZeroU64::new(PARAM_BYTES as u64),
            };
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout,
                entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(one) }],
            });
            Uniforms { buffer, group, slot, data: Vec::new() }
        });
        Recorder {
            pass: None,
            encoder: None,
            pending: 0,
            uploaded: 0,
            group_layouts,
            pipeline_layouts,
            modules: HashMap::new(),
            pipelines: HashMap::new(),
            uniforms,
            in_flight: VecDeque::new(),
            failed: HashMap::new(),
        }
    }

    /// An error if the work that should have made the buffer's content was lost.
    fn check_content(&self, op: &'static str, buffer: &Buffer) -> Result<()> {
        match self.failed.get(&buffer.written()) {
            Some(why) => Err(Error::runtime(
                op,
                format!("the tensor has no values, because its computation failed: {why}"),
            )),
            None => Ok(()),
        }
    }

    fn pipeline(&mut self, ctx: &Context, op: &'static str, d: &Dispatch) -> Result<wgpu::ComputePipeline> {
        let key = (d.shader, d.entry, d.constants.to_vec());
        if let Some(pipeline) = self.pipelines.get(&key) {
            return Ok(pipeline.clone());
        }
        let module = match self.modules.get(&d.shader) {
            Some(module) => module.clone(),
            None => {
                let source = if ctx.immediates {
                    Cow::Borrowed(d.shader.source())
                } else {
                    Cow::Owned(d.shader.source().replace(IMMEDIATE_PARAMS, UNIFORM_PARAMS))
                };
                let made = ctx.scoped(op, || {
                    ctx.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                        label: None,
                        source: wgpu::ShaderSource::Wgsl(source),
                    })
                })?;
                self.modules.insert(d.shader, made.clone());
                made
            }
        };
        let constants: Vec<(&str, f64)> =
            d.constants.iter().map(|&(name, value)| (name, value as f64)).collect();
        let pipeline = ctx.scoped(op, || {
            ctx.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: Some(&self.pipeline_layouts[d.inputs.len()]),
                module: &module,
                entry_point: Some(d.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    // Every kernel writes its workgroup memory before it reads it.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        })?;
        self.pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// Records one kernel call. Its effect is there for everything recorded later, by any thread.
    pub fn dispatch(&mut self, ctx: &Context, op: &'static str, d: &Dispatch) -> Result<()> {
        let most = ctx.limits.max_compute_workgroups_per_dimension;
        let (x, y) = grid(d.groups, most).ok_or_else(|| {
            Error::memory(
                op,
                format!(
                    "the result needs {} workgroups, more than {} can number; split it",
                    d.groups, ctx.name
                ),
            )
        })?;
        for input in d.inputs {
            self.check_content(op, input)?;
        }
        let pipeline = self.pipeline(ctx, op, d)?;
        let mut entries =
            vec![wgpu::BindGroupEntry { binding: 0, resource: d.output.raw(op)?.as_entire_binding() }];
        for (i, input) in d.inputs.iter().enumerate() {
            entries.push(wgpu::BindGroupEntry {
                binding: i as u32 + 1,
                resource: input.raw(op)?.as_entire_binding(),
            });
        }
        let layout = &self.group_layouts[d.inputs.len()];
        let group = ctx.scoped(op, || {
            ctx.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout,
                entries: &entries,
            })
        })?;
        let mut params = [0u8; PARAM_BYTES as usize];
        debug_assert!(d.params.len() <= PARAM_WORDS);
        for (to, word) in params.chunks_exact_mut(4).zip(d.params) {
            to.copy_from_slice(&word.to_ne_bytes());
        }

        let encoder =
            self.encoder.get_or_insert_with(|| ctx.device.create_command_encoder(&Default::default()));
        let pass = self
            .pass
            .get_or_insert_with(|| encoder.begin_compute_pass(&Default::default()).forget_lifetime());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        match &mut self.uniforms {
            None => pass.set_immediates(0, &params),
            Some(u) => {
                let at = self.pending * u.slot;
                u.data.resize(at + u.slot, 0);
                u.data[at..at + params.len()].copy_from_slice(&params);
                pass.set_bind_group(1, &u.group, &[at as u32]);
            }
        }
        pass.dispatch_workgroups(x, y, 1);
        let epoch = ctx.epoch.load(SeqCst);
        d.inputs.iter().for_each(|b| b.mark_read(epoch));
        d.output.mark_written(epoch);
        ctx.counters.dispatches.fetch_add(1, Relaxed);
        self.pending += 1;
        if self.pending == MAX_PENDING {
            self.flush(ctx, op)?;
        }
        Ok(())
    }

    /// Writes words to a buffer that no pending work uses: wgpu runs the write before that work.
    pub fn upload(&mut self, ctx: &Context, op: &'static str, to: &Buffer, bytes: &[u8]) -> Result<()> {
        let raw = to.raw(op)?;
        ctx.scoped(op, || ctx.queue.write_buffer(raw, 0, bytes))?;
        to.mark_written(ctx.epoch.load(SeqCst));
        self.uploaded += bytes.len();
        if self.uploaded >= MAX_UPLOAD {
            self.flush(ctx, op)?;
        }
        Ok(())
    }

    /// Copies words to a readback buffer and hands everything over.
    pub fn read_back(
        &mut self,
        ctx: &Context,
        op: &'static str,
        from: &Buffer,
        offset: usize,
        to: &Buffer,
        bytes: usize,
    ) -> Result<Option<wgpu::SubmissionIndex>> {
        self.check_content(op, from)?;
        let (from, to_raw) = (from.raw(op)?, to.raw(op)?);
        self.pass = None;
        let encoder =
            self.encoder.get_or_insert_with(|| ctx.device.create_command_encoder(&Default::default()));
        encoder.copy_buffer_to_buffer(from, offset as u64, to_raw, 0, bytes as u64);
        to.mark_written(ctx.epoch.load(SeqCst));
        self.flush(ctx, op)
    }

    /// Spoils the pending work as a fault of ours or of the driver would: a copy beyond both ends.
    #[cfg(test)]
    pub fn break_encoder(&mut self, ctx: &Context) {
        self.pass = None;
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let [from, to] = [0, 1].map(|_| {
            ctx.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 4,
                usage,
                mapped_at_creation: false,
            })
        });
        let encoder =
            self.encoder.get_or_insert_with(|| ctx.device.create_command_encoder(&Default::default()));
        encoder.copy_buffer_to_buffer(&from, 0, &to, 0, 8);
    }

    /// Submits what is pending; the submission, if there was anything.
    pub fn flush(&mut self, ctx: &Context, op: &'static str) -> Result<Option<wgpu::SubmissionIndex>> {
        let encoder = self.encoder.take();
        if encoder.is_none() && self.uploaded == 0 {
            ctx.check(op)?;
            return Ok(None);
        }
        let pass = self.pass.take();
        self.pending = 0;
        self.uploaded = 0;
        let epoch = ctx.epoch.fetch_add(1, SeqCst);
        let uniforms = &mut self.uniforms;
        let submitted = ctx.scoped(op, || {
            drop(pass);
            let commands = encoder.map(wgpu::CommandEncoder::finish);
            if let Some(u) = uniforms.as_mut().filter(|u| !u.data.is_empty()) {
                ctx.queue.write_buffer(&u.buffer, 0, &u.data);
                u.data.clear();
            }
            ctx.queue.submit(commands)
        });
        ctx.counters.flushes.fetch_add(1, Relaxed);
        ctx.counters.submits.fetch_add(1, Relaxed);
        let index = submitted.inspect_err(|e| {
            self.failed.insert(epoch, e.to_string());
        })?;
        self.in_flight.push_back(index.clone());
        if self.in_flight.len() > MAX_IN_FLIGHT {
            let oldest = self.in_flight.pop_front();
            ctx.wait_for(op, oldest)?;
        }
        Ok(Some(index))
    }
}

#[cfg(test)]
mod tests {
    use super::grid;

    #[test]
    fn many_workgroups_go_over_two_axes_without_much_waste() {
        assert_eq!(grid(1, 65535), Some((1, 1)));
        assert_eq!(grid(65535, 65535), Some((65535, 1)));
        assert_eq!(grid(65536, 65535), Some((32768, 2)));
        let (x, y) = grid(1_000_003, 65535).unwrap();
        assert!(x <= 65535 && x * y >= 1_000_003 && x * y < 1_000_003 + y);
        assert_eq!(grid(1 << 40, 65535), None);
    }
}
