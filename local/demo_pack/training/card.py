"""The model card (CARD.md) of the demo pack, written from what was measured."""

from typing import Any


def card(report: dict[str, Any], pack: dict[str, Any], *, scenes: int, gallery: int, swaps: int) -> str:
    """The model card in Markdown, from report.json and pack.json; how many scenes, people and swaps were measured."""
    swap, chain = report["swapper"], report["chain"]
    files = "\n".join(
        f"| `{model['file']}` | {model['size'] / 1e6:.1f} MB | `{model['sha256'][:16]}…` |"
        for model in pack["models"].values()
    )
    detectors = "\n".join(
        f"| {name} | {d['ap50']:.3f} | {d['recall_at_0.5']:.3f} | {d['precision_at_0.5']:.3f} "
        f"| {d['keypoint_error_median']:.3f} |"
        for name, d in report["detector"].items()
    )
    embedders = "\n".join(
        f"| {name} | {e['rank1']:.3f} | {e['auc']:.6f} | {e['cosine_same']:.2f} | {e['cosine_other']:.2f} |"
        for name, e in ((name, report[name]) for name in ("embedder", "judge"))
    )
    swap_rows = "\n".join(
        f"| {who}: {kind} | {s['rank1']:.3f} | {s['top5']:.3f} | {s['cosine_source']:.2f} | {s['cosine_target']:.2f} |"
        for who in ("judge", "embedder")
        for kind, s in ((kind, swap[f"{who}_{kind}"]) for kind in ("swapped", "truth", "target"))
    )
    chains = (
        f"| {chain['found']} | {chain['found_after_swap']} | {chain['judge_rank1']:.2f} "
        f"| {chain['judge_cosine_source']:.2f} | {chain['judge_cosine_target']:.2f} "
        f"| {chain['keypoint_error_median']:.3f} |"
    )
    rolls = "\n".join(
        f"| {roll}° | {r['found']:.0%} | {r['keypoint_error_median']:.3f} |"
        for roll, r in report["rotation"]["rolls"].items()
    )
    colours = "\n".join(
        f"| {name.replace('_', ' ')} | {c['right']:.2f} | {c['chance']:.2f} |" for name, c in report["colours"].items()
    )
    moods = "\n".join(
        f"| {name.replace('_', ' ')} | {e['swapped']:.2f} | {e['truth']:.2f} |"
        for name, e in swap["expression"].items()
    )
    return f"""# The demo pack

A face detector, an embedder and a swapper with the contracts of InsightFace's det_500m, w600k_r50 and inswapper_128
(the swapper with the same layers at an eighth of the width), and a judge that grades swaps. They were trained in this
repository on procedurally drawn faces, from scratch. Photographs were used only as counter-examples, in which the
detector should find nothing. Licence: the project's own (MIT). They work on drawings like these, not on photographs.

`make demo-pack-report` writes this page, report.json and contact.jpg. `make demo-pack-train` trains the pack again; the
files here come from that recipe, but some of its constants were tuned during training, between checkpoints.

| file | size | SHA-256 |
| --- | --- | --- |
{files}

![Source, target, swapped, drawn truth](contact.jpg)

From top to bottom: source, target, swapped, and the ground truth as drawn.

All numbers are measured on reserve identities, which were never used for training.

## Detector

{scenes} scenes of up to five faces, the largest of which fills four fifths of the picture. Faces under 9 pixels are
ignored. Keypoint error is relative to the distance from eyes to mouth. Faces lying on their side carry no label: the
detector leaves them to the caller, who rotates the picture and tries again. Of 50 portraits at 512 it finds
{report["rotation"]["upright"]:.0%} upright and {report["rotation"]["lying"]:.0%} rotated by 90°.

| scenes | AP at IoU 0.5 | recall at 0.5 | precision at 0.5 | keypoint error, median |
| --- | --- | --- | --- | --- |
{detectors}

50 portraits at 512, rotated:

| roll | found | keypoint error, median |
| --- | --- | --- |
{rolls}

## Embedder and judge

{gallery} people, one gallery picture and two probes each; hair, clothes, pose, expression and light differ.

| model | rank-1 | AUC | cosine, same person | cosine, others |
| --- | --- | --- | --- | --- |
{embedders}

A linear readout of the embedding (ridge regression) names these colours for people it has never seen; chance is always
naming the commonest:

| colour | right | chance |
| --- | --- | --- |
{colours}

The judge differs from the embedder in architecture, loss, seed and training identities, and was not used to train the
swapper.

## Swapper

{swaps} swaps of aligned crops between {gallery} people. PSNR to the drawn truth: {swap["psnr"]:.1f} dB, against
{swap["psnr_target"]:.1f} dB of the untouched target. Sharpness of the inner face: {swap["sharpness"]:.2f} of the
truth's.

| model: crops | rank-1 to the source | top-5 | cosine to the source | cosine to the target |
| --- | --- | --- | --- | --- |
{swap_rows}

Gaze and blink read from the eyes, correlated with what was drawn:

| state | swapped | truth |
| --- | --- | --- |
{moods}

## The whole chain

Detect, embed, swap, paste and detect again, by insightface's own classes, on {chain["portraits"]} portraits of 512
pixels, each of which is given the next one's face.

| found | found after the swap | judge's rank-1 | cosine to the source | cosine to the target | keypoint error |
| --- | --- | --- | --- | --- | --- |
{chains}

## Limits

Swaps are softer than the picture around them, large faces most: a crop has 128 pixels, and the swapper was still
improving after about 350,000 pictures. Faces lying on their side are mostly not found until the picture is rotated;
no face was drawn in profile.
"""
