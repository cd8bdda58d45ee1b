"""ComfyUI's nodes by what they do: which hand on what comes in, which make it, and by what name they hold it.

A class that stands in none of these tables is not known, and whatever comes through it is not taken for known either.
Sources: comfyui's nodes.py and comfy_extras/, and the node packs named.
"""

from __future__ import annotations

from typing import NamedTuple


class HandsOn(NamedTuple):
    """A node whose outputs are its inputs, perhaps changed."""

    inputs: tuple[str, ...]
    """Input that is handed on, by output."""
    does: str = ""
    """What it does that is not done here, "" for nothing that the picture shows."""


_REFERENCE = "reference picture"
_CONTROL = "ControlNet"

HANDS_ON: dict[str, HandsOn] = {
    # numbers and texts
    **dict.fromkeys(("PrimitiveInt", "PrimitiveFloat", "PrimitiveString"), HandsOn(("value",))),
    **dict.fromkeys(("PrimitiveStringMultiline", "PrimitiveBoolean", "INTConstant"), HandsOn(("value",))),
    **dict.fromkeys(("FloatConstant", "BOOLConstant", "easy int", "easy float"), HandsOn(("value",))),
    **dict.fromkeys(("easy string", "ImpactInt", "ImpactFloat", "JWInteger", "JWFloat"), HandsOn(("value",))),
    **dict.fromkeys(("CR Integer", "CR Float", "Power Primitive (rgthree)"), HandsOn(("value",))),
    **dict.fromkeys(("StringConstant", "StringConstantMultiline", "Simple String"), HandsOn(("string",))),
    **dict.fromkeys(("Text Multiline", "CR Text", "ttN text", "JWString", "JWStringMultiline"), HandsOn(("text",))),
    **dict.fromkeys(("Textbox", "Text box", "ShowText|pysssh"), HandsOn(("text",))),
    **dict.fromkeys(
        ("Seed (rgthree)", "CR Seed", "easy seed", "ttN seed", "Seed", "Seed Everywhere"), HandsOn(("seed",))
    ),
    **dict.fromkeys(("Seed Generator (Image Saver)", "SeedNode", "easy globalSeed"), HandsOn(("seed",))),
    **dict.fromkeys(
        ("Int Literal", "Int Literal (Image Saver)", "ttN int", "Primitive integer [Crystools]"), HandsOn(("int",))
    ),
    **dict.fromkeys(("Float Literal", "Float Literal (Image Saver)", "ttN float"), HandsOn(("float",))),
    **dict.fromkeys(("String Literal", "String Literal (Image Saver)"), HandsOn(("string",))),
    "Width/Height Literal (Image Saver)": HandsOn(("width", "height")),
    "Constant Number": HandsOn(("number",)),
    "CR Prompt Text": HandsOn(("prompt",)),
    "DF_Integer": HandsOn(("Value",)),
    "PreviewAny": HandsOn(("source",)),
    "Reroute": HandsOn(("",)),
    # pictures and latents
    **dict.fromkeys(("VAEDecode", "VAEDecodeTiled"), HandsOn(("samples",))),
    **dict.fromkeys(("RepeatLatentBatch", "LatentFromBatch"), HandsOn(("samples",))),
    **dict.fromkeys(("LatentUpscaleBy", "SetLatentNoiseMask"), HandsOn(("samples",), "a changed latent")),
    **dict.fromkeys(("ImageScale", "ImageScaleBy", "ImageScaleToTotalPixels"), HandsOn(("image",), "another size")),
    **dict.fromkeys(("ImageUpscaleWithModel", "UltimateSDUpscale"), HandsOn(("image",), "upscaling")),
    **dict.fromkeys(("FaceDetailer", "DetailerForEach", "SEGSDetailer"), HandsOn(("image",), "detailing")),
    **dict.fromkeys(
        ("ImageCrop", "ImageSharpen", "ImageBlur", "ImageInvert"), HandsOn(("image",), "a changed picture")
    ),
    # conditioning
    **dict.fromkeys(
        ("FluxGuidance", "FluxDisableGuidance", "ConditioningSetTimestepRange"), HandsOn(("conditioning",))
    ),
    "FluxKontextMultiReferenceLatentMethod": HandsOn(("conditioning",)),
    "ReferenceLatent": HandsOn(("conditioning",), _REFERENCE),
    "StyleModelApply": HandsOn(("conditioning",), _REFERENCE),
    "unCLIPConditioning": HandsOn(("conditioning",), _REFERENCE),
    "InpaintModelConditioning": HandsOn(("positive", "negative", "pixels"), "inpainting"),
    **dict.fromkeys(("ControlNetApplyAdvanced", "ControlNetApplySD3"), HandsOn(("positive", "negative"), _CONTROL)),
    "ControlNetApply": HandsOn(("conditioning",), _CONTROL),
    **dict.fromkeys(("ConditioningSetArea", "ConditioningSetMask"), HandsOn(("conditioning",), "a prompt for a part")),
    # models
    **dict.fromkeys(("ModelSamplingFlux", "ModelSamplingSD3", "ModelSamplingAuraFlow"), HandsOn(("model",))),
    **dict.fromkeys(("TorchCompileModel", "PathchSageAttentionKJ", "ModelPatchTorchSettings"), HandsOn(("model",))),
    **dict.fromkeys(("DifferentialDiffusion", "CFGNorm", "RescaleCFG", "EasyCache"), HandsOn(("model",), "a patch")),
    **dict.fromkeys(("ApplyTeaCache", "TeaCache", "SkipLayerGuidanceDiT"), HandsOn(("model",), "a patch")),
    **dict.fromkeys(("FreeU_V2", "PerturbedAttentionGuidance", "IPAdapter"), HandsOn(("model",), "a patch")),
    # schedules
    **dict.fromkeys(("SplitSigmas", "SplitSigmasDenoise"), HandsOn(("sigmas", "sigmas"), "a part of the steps")),
}
"""Inputs handed on, by class; of a node with fewer inputs here than outputs the first holds for all."""

SWITCHES: dict[str, tuple[str, str, str]] = {
    "ComfySwitchNode": ("switch", "on_true", "on_false"),
    "Switch any [Crystools]": ("boolean", "on_true", "on_false"),
    "easy ifElse": ("boolean", "on_true", "on_false"),
    "ImpactConditionalBranch": ("cond", "tt_value", "ff_value"),
}
"""The input that chooses, and what is handed on where it is true and where it is false, by class."""

NUMBERED = {"ImpactSwitch": ("select", "input")}
"""The input with the number of the one handed on, and what these are called before their number, by class."""

FIRST_OF = ("Any Switch (rgthree)",)
"""Classes that hand on the first of their inputs that has something."""

TEXTS: dict[str, dict[int, tuple[str, ...]]] = {
    "CLIPTextEncode": {0: ("text",)},
    "CLIPTextEncodeFlux": {0: ("t5xxl", "clip_l")},
    "CLIPTextEncodeSDXL": {0: ("text_g", "text_l")},
    "CLIPTextEncodeSD3": {0: ("t5xxl", "clip_g", "clip_l")},
    "CLIPTextEncodeSDXLRefiner": {0: ("text",)},
    "TextEncodeQwenImageEdit": {0: ("prompt",)},
    "TextEncodeQwenImageEditPlus": {0: ("prompt",)},
    "BNK_CLIPTextEncodeAdvanced": {0: ("text",)},
    "smZ CLIPTextEncode": {0: ("text",)},
    "ImpactWildcardEncode": {2: ("populated_text",)},
    "Efficient Loader": {1: ("positive",), 2: ("negative",)},
}
"""Text encoders: by output the inputs with the text, of which the first is FLUX's."""

NO_TEXT = ("ConditioningZeroOut",)
"""What makes a conditioning that says nothing."""

BOTH = {
    "ConditioningCombine": ("conditioning_1", "conditioning_2"),
    "ConditioningConcat": ("conditioning_to", "conditioning_from"),
    "ConditioningAverage": ("conditioning_to", "conditioning_from"),
}
"""What makes one conditioning of two."""

JOINED = {
    "StringConcatenate": (("string_a", "string_b"), "delimiter", ""),
    "Text Concatenate": (("text_a", "text_b", "text_c", "text_d"), "delimiter", ", "),
    "JoinStrings": (("string1", "string2"), "delimiter", " "),
    "JoinStringMulti": (tuple(f"string_{place}" for place in range(1, 11)), "delimiter", " "),
    "ConcatStringSingle": (("string_a", "string_b"), "", ""),
}
"""What makes one text of several: their inputs, the one with the text between, and that text where there is none."""

MODELS = {
    **dict.fromkeys(("UNETLoader", "UnetLoaderGGUF", "UnetLoaderGGUFAdvanced", "UNETLoaderMultiGPU"), "unet_name"),
    **dict.fromkeys(("UnetLoaderGGUFMultiGPU", "UnetLoaderGGUFDisTorchMultiGPU", "UNETLoaderNF4"), "unet_name"),
    **dict.fromkeys(("CheckpointLoaderSimple", "CheckpointLoader", "CheckpointLoaderNF4"), "ckpt_name"),
    **dict.fromkeys(("CheckpointLoaderSimpleMultiGPU", "Efficient Loader"), "ckpt_name"),
    **dict.fromkeys(("NunchakuFluxDiTLoader", "DiffusersLoader"), "model_path"),
}
"""What loads a model, and the input with its file's name."""

LATENTS = {
    **dict.fromkeys(("EmptyLatentImage", "EmptyFlux2LatentImage", "EmptySD3LatentImage"), ("width", "height")),
    **dict.fromkeys(("EmptyChromaRadianceLatentImage", "EmptyLatentImageMultiGPU"), ("width", "height")),
    "Efficient Loader": ("empty_latent_width", "empty_latent_height"),
    "LatentUpscale": ("width", "height"),
    "SDXLEmptyLatentSizePicker+": ("resolution",),
}
"""What makes a latent of a size, and the inputs with it: two, or one with both in a text."""

FROM_PICTURES = ("VAEEncode", "VAEEncodeTiled", "VAEEncodeForInpaint", "LoadImage")
"""What makes a latent of a picture."""

STEPS = {
    *("BasicScheduler", "Flux2Scheduler", "KarrasScheduler", "ExponentialScheduler", "PolyexponentialScheduler"),
    *("BetaSamplingScheduler", "AlignYourStepsScheduler", "GITSScheduler", "SDTurboScheduler", "VPScheduler"),
    *("LaplaceScheduler", "LTXVScheduler"),
}
"""What makes the noise levels of so many `steps`."""

GUIDERS = {"BasicGuider": "conditioning", "CFGGuider": "positive", "DualCFGGuider": "cond1"}
"""What guides a sampler, and the input with the prompt; `negative` and `cfg` hold the other two where there are."""

SAMPLERS = {
    *("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced", "KSampler (Efficient)"),
    *("KSampler Adv. (Efficient)", "XlabsSampler", "ClownsharKSampler_Beta", "KSampler (WAS)"),
}
"""What denoises."""
