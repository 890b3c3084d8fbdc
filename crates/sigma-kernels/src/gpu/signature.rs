//! What a kernel takes, and whether arguments fit. The emulator knows the types that pointers point to; PTX has the
//! sizes.

use super::{Arg, Dtype, GpuError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    /// A pointer, to elements of this type where that is known.
    Pointer(Option<Dtype>),
    /// A pointer or an integer: PTX of older compilers does not tell.
    PointerOrU64,
    Value(Dtype),
}

impl Parameter {
    fn takes(self, arg: &Arg<'_>) -> bool {
        match (self, arg) {
            (Parameter::Pointer(_) | Parameter::PointerOrU64, Arg::Null) => true,
            (Parameter::Pointer(None) | Parameter::PointerOrU64, Arg::View(_)) => true,
            (Parameter::Pointer(Some(dtype)), Arg::View(view)) => dtype == view.dtype(),
            (Parameter::PointerOrU64, Arg::U64(_)) => true,
            (Parameter::Value(dtype), arg) => value_type(arg) == Some(dtype),
            _ => false,
        }
    }

    fn name(self) -> String {
        match self {
            Parameter::Pointer(Some(dtype)) => format!("{dtype}*"),
            Parameter::Pointer(None) => "pointer".to_owned(),
            Parameter::PointerOrU64 => "pointer or u64".to_owned(),
            Parameter::Value(dtype) => dtype.to_string(),
        }
    }
}

fn value_type(arg: &Arg<'_>) -> Option<Dtype> {
    match arg {
        Arg::View(_) | Arg::Null => None,
        Arg::U32(_) => Some(Dtype::U32),
        Arg::U64(_) => Some(Dtype::U64),
        Arg::F32(_) => Some(Dtype::F32),
        Arg::F64(_) => Some(Dtype::F64),
    }
}

pub(super) fn check(kernel: &str, parameters: &[Parameter], args: &[Arg<'_>]) -> Result<(), GpuError> {
    if parameters.len() == args.len() && parameters.iter().zip(args).all(|(p, arg)| p.takes(arg)) {
        return Ok(());
    }
    let expected = parameters.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ");
    let got = args.iter().map(|arg| match arg {
        Arg::View(view) => format!("{}*", view.dtype()),
        Arg::Null => "null".to_owned(),
        arg => value_type(arg).map_or_else(String::new, |dtype| dtype.to_string()),
    });
    let got = got.collect::<Vec<_>>().join(", ");
    Err(GpuError::Arguments { kernel: kernel.to_owned(), expected, got })
}

/// From the emulator's list, such as `*f32 u32`.
#[cfg(feature = "emulator")]
pub(super) fn from_names(names: &str) -> Vec<Parameter> {
    let dtype = |name: &str| {
        [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::U32, Dtype::U64, Dtype::F64]
            .into_iter()
            .find(|d| d.suffix() == name)
    };
    let parameter = |name: &str| match name.strip_prefix('*') {
        Some(target) => Parameter::Pointer(dtype(target)),
        None => dtype(name).map_or(Parameter::PointerOrU64, Parameter::Value),
    };
    names.split_whitespace().map(parameter).collect()
}

/// The kernels of a PTX module: `.visible .entry name(.param .u64 .ptr .align 1 name_param_0, .param .u32
/// name_param_1)`.
#[cfg(any(feature = "cuda", test))]
pub(super) fn from_ptx(ptx: &str) -> std::collections::HashMap<String, Vec<Parameter>> {
    let kernels = ptx.split(".entry").skip(1).filter_map(|entry| {
        let (name, rest) = entry.split_once('(')?;
        let (list, _) = rest.split_once(')')?;
        let parameters = list.split(',').filter(|p| !p.trim().is_empty()).map(|p| {
            let words: Vec<&str> = p.split_whitespace().collect();
            match words.get(1).copied() {
                Some(".f32") => Parameter::Value(Dtype::F32),
                Some(".f64") => Parameter::Value(Dtype::F64),
                Some(".u32" | ".b32" | ".s32") => Parameter::Value(Dtype::U32),
                _ if words.contains(&".ptr") => Parameter::Pointer(None),
                _ => Parameter::PointerOrU64,
            }
        });
        Some((name.trim().to_owned(), parameters.collect()))
    });
    kernels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_from_ptx_of_old_and_new_compilers() {
        let ptx = "\
.visible .entry cast_f16(
\t.param .u64 cast_f16_param_0,
\t.param .u32 cast_f16_param_1
)
.maxntid 512, 1, 1
{ }
.visible .entry scale(
\t.param .u64 .ptr .align 1 scale_param_0,
\t.param .f32 scale_param_1,
\t.param .f64 scale_param_2,
\t.param .u64 scale_param_3
)
{ }
.visible .entry nothing()
{ }";
        let kernels = from_ptx(ptx);
        assert_eq!(kernels.len(), 3);
        assert_eq!(kernels["cast_f16"], [Parameter::PointerOrU64, Parameter::Value(Dtype::U32)]);
        let (f32, f64) = (Parameter::Value(Dtype::F32), Parameter::Value(Dtype::F64));
        assert_eq!(kernels["scale"], [Parameter::Pointer(None), f32, f64, Parameter::PointerOrU64]);
        assert_eq!(kernels["nothing"], []);
    }
}
