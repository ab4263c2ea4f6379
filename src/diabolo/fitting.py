"""A fit: plan + source -> `Fitted`. Its epochs, the best weights, checkpoints, what stops it.

A checkpoint is a model file, which any use of a model can read, with the state of the training
beside it. A fit that goes on from one ends with the weights and the history, to the bit, that it
would have had without the interruption.
"""

import copy
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from diabolo import distributed, doctor, examining, resuming, trial
from diabolo.begin import begin
from diabolo.beside import Beside
from diabolo.bottleneck import Bottleneck
from diabolo.data.source import ROWS, Source
from diabolo.defaults import suited
from diabolo.doctor import Finding
from diabolo.errors import InputError, Interrupted
from diabolo.fitted import HISTORY, Fitted, Header, Plan, versions
from diabolo.infer import in_blocks
from diabolo.inputs import find_device, find_seed
from diabolo.intake import Intake
from diabolo.optim import make_optimizer
from diabolo.progress import Progress
from diabolo.scaling import learn_scaling
from diabolo.store import Checkpoints, Contents, checksum
from diabolo.train import Best, Epoch, Training, generator, prefixed, split, under

STATE, BEST = "training ", "best "  # prefixes of the tensors that are not the model's
SURE = 0.95  # that training was worth it
EXAMINED, FEW = 2048, 256  # training samples that a model is looked at with; for a checkpoint


def fit(
    plan: Plan,
    intake: Intake,
    source: Source,
    validation: Source | None = None,
    *,
    start: Fitted | None = None,
    columns: list[str] | None = None,
    frame: Mapping[str, str] | None = None,
    checkpoint: str | Path | Checkpoints | None = None,
    callback: Callable[[Fitted], object] | None = None,
) -> Fitted:
    """Train what is planned on a source of samples as the intake says; `start`: go on from there.

    `frame`: the size and the fit with which images were brought to one size, which is kept.
    `callback` is given the record so far after each epoch. An interrupt raises `Interrupted` with
    the record of the best model so far.
    """
    plan = suited(plan, intake, source, validation=validation is not None, start=start)
    checkpoints = resuming.as_checkpoints(checkpoint)
    kept = None if checkpoints is None else checkpoints.read()
    data = source.digest() | dict(frame or {})
    if validation is not None:
        data |= {f"validation_{name}": value for name, value in validation.digest().items()}
    seed = plan.p.random_state if kept is None else resuming.kept_seed(kept)
    whole = source
    record, source, validation = _begin(
        plan, intake, source, validation, start=start, random_state=seed
    )
    record = replace(record, data=data, columns=columns or record.columns)
    anew = whole if start is None else None
    with _studying(plan, record, source):
        run = Fit(plan, record, source, validation, whole=anew, checkpoints=checkpoints)
        if kept is not None:
            run.resume(kept)
        run.meet()
        return run.finish(callback)


def fit_more(plan: Plan, intake: Intake, source: Source, start: Fitted | None) -> Fitted:
    """Train for one epoch on a source, at a constant rate, from where `start` is."""
    p = plan.p
    p.epochs, p.schedule, p.validation_fraction, p.early_stopping = 1, "constant", 0, None
    plan = suited(plan, intake, source, validation=False, start=start)
    record, source, _ = _begin(
        plan, intake, source, None, start=start, random_state=p.random_state
    )
    with _studying(plan, record, source):
        run = Fit(plan, replace(record, data={}), source, None, guess=math.inf)
        tensors = run.training.optimizer.tensors()
        moments = {f"{p.optimizer} {name}": tensor for name, tensor in tensors.items()}
        known = {} if start is None else start.moments
        for name in moments.keys() & known.keys():
            moments[name].copy_(known[name])
        return replace(run.train(None), moments=moments)


def _studying(plan: Plan, record: Fitted, source: Source) -> AbstractContextManager[None]:
    """See `Bottleneck.studying`."""
    steps = plan.p.epochs * math.ceil(len(source) / plan.p.batch_size)
    return record.net.bottleneck.studying(record.net, source, seed=record.seed, steps=steps)


def _begin(
    plan: Plan,
    intake: Intake,
    source: Source,
    validation: Source | None,
    *,
    start: Fitted | None,
    random_state: Any,
) -> tuple[Fitted, Source, Source | None]:
    """The record to begin with, its network set up, and the samples to train and validate on."""
    seed = find_seed(random_state) if start is None else start.seed
    if start is not None:
        resuming.check_same_model(plan.config, start.config)
    whole, (source, validation) = source, split(source, validation, plan.p, seed)
    device = distributed.place(find_device(plan.p.device))
    distributed.join(device)
    if start is None:
        net = _new_net(plan, intake, whole, seed)
        begin(net, source, seed)
        nothing = np.empty((2, 0), np.float32)
        record = Fitted(net, plan.config, intake, seed, nothing)
    else:
        record = replace(
            start,
            net=copy.deepcopy(start.net),
            config=plan.config,
            history={name: list(values) for name, values in start.history.items()},
            findings=[],
            usual={},
            metrics={},
            moments={},
        )
        record.net.corruption = copy.deepcopy(plan.p.corruption)
    _check_range(record, source, validation)
    record.net.check_corruption()
    record.net.to(device)
    here = None if validation is None else validation.to(device)
    return replace(record, versions=versions()), source.to(device), here


def _new_net(plan: Plan, intake: Intake, source: Source, seed: int) -> Any:
    """The network that learns from a source, with its scaling and first weights."""
    scaling = learn_scaling(plan.p.scaling, source, image=intake.pooled, table=intake.table)
    net = plan.net(intake, scaling, torch.Generator().manual_seed(seed))
    if intake.condition is not None and not intake.condition.drawn:
        net.get_buffer("usual").copy_(_conditions(source).mean(0))
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise InputError("The network has no parameters to learn: give hidden or latent_dim.")
    return net


def _conditions(source: Source) -> Tensor:
    """The conditions (N, M) of all samples."""
    blocks = torch.arange(len(source)).split(ROWS)
    return torch.cat([given for i in blocks if (given := source.take(i).given) is not None])


def _check_range(record: Fitted, *sources: Source | None) -> None:
    """Refuse values that the likelihood has no probability for."""
    likelihood, scaling = record.net.likelihood, copy.deepcopy(record.net.scaling).cpu()
    if likelihood.support is None:
        return
    for source in sources:
        if source is not None and source.dtype != torch.uint8:
            low, high, _, _ = source.statistics()
            ends = float(scaling(low).min()), float(scaling(high).max())
            likelihood.check_values(*ends, record.config["scaling"])


class Fit:
    """A fit under way: its training, the record so far, and what surrounds them.

    `whole`: all samples, those to validate on included, of a net that begins anew.
    `guess`: see `doctor.exploding`; without one, the loss of outputs that are zero.
    """

    def __init__(
        self,
        plan: Plan,
        record: Fitted,
        source: Source,
        validation: Source | None,
        *,
        whole: Source | None = None,
        checkpoints: Checkpoints | None = None,
        guess: float | None = None,
    ) -> None:
        self.plan, self.record, self.source = plan, record, source
        self.net, p = record.net, plan.p
        self.factor, self.first = self.net.loss_factor, len(record.history["epoch"])
        self.guess = self._guess() if guess is None else guess
        self.training = Training(
            self.net,
            source,
            make_optimizer(p.optimizer, self.net, p.epsilon),
            epochs=p.epochs,
            batch_size=p.batch_size,
            learning_rate=p.learning_rate,
            seed=record.seed,
            validation=validation,
            schedule=p.schedule,
            drop_last=p.drop_last,
            divisor=self.net.features,
            first_epoch=self.first,
            precision=p.precision,
            compiled=p.compile,
        )
        linear = whole is not None and isinstance(self.net.encoder, Beside)
        self.whole, self.before = whole, self.training.check() if linear else None
        self.best, self.checkpoints = Best(self.net, p.early_stopping), checkpoints
        self.stopped: Finding | None = None
        self.kept: tuple[int, int] | None = None  # the epoch and step of the last checkpoint
        self.origin: dict[str, Any] = {}
        if checkpoints is not None:
            weights = checksum(self.net.state_dict())
            self.origin = {"first_epoch": self.first, "weights_sha256": weights}

    def resume(self, checkpoint: Contents) -> None:
        """Go on from a checkpoint; refuses one of other parameters, data or first weights."""
        config, tensors = checkpoint
        if "training" not in config:
            raise InputError("The file is a model and no checkpoint: give another folder.")
        Header.checked("The checkpoint", config)
        try:
            resuming.check_parameters(config["model"], self.record.config)
            resuming.check_origin(config, self.record.data, self.origin)
            self.net.load_state_dict({name: tensors[name] for name in self.net.state_dict()})
            if not self.net.finite:
                raise ValueError("its weights are no numbers")
            self.best.restore(under(BEST, tensors))
            self.training.restore(under(STATE, tensors))
            self.record = replace(
                self.record,
                history={name: config["history"][name] for name in HISTORY},
                columns=config["columns"],
                step_loss=tensors["step_loss"].numpy(),
            )
            if len(self.record.history["epoch"]) != self.training.epoch:
                raise ValueError("its history is of another length")
        except InputError:
            raise
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            what = str(error).splitlines()[0][:200]
            raise InputError(f"The checkpoint does not fit model or device: {what}.") from None
        self.kept = self.training.epoch, self.training.step

    def meet(self) -> None:
        """Begin together with the other processes under torchrun, with the net of rank 0."""
        now = [self.training.epoch, self.training.step]
        facts = {"data": self.record.data, "seed": self.record.seed, "checkpoint": now}
        model = {n: v for n, v in self.record.config.items() if n not in resuming.FREE}
        distributed.check_alike(self.net.device, **facts, model=model)
        beside = type(self.net.bottleneck).after_step is not Bottleneck.after_step
        distributed.check_module(self.net, learns_beside=beside)
        distributed.from_first(self.net.state_dict())

    def finish(self, callback: Callable[[Fitted], object] | None) -> Fitted:
        """Train to the end; the record with what is wrong with the model.

        Where that is no better than the linear method, the linear method on the whole samples.
        """
        record = self.train(callback)
        if self.whole is not None and not self._better():
            begin(self.net, self.whole, record.seed)
            record = self._seen(EXAMINED)
        if record.intake.table is not None:
            rows = self.training.validation or self.source
            draw = generator(record.seed, "gaps", device=self.net.device.type)
            self.net.judge(rows.head(EXAMINED), draw)
        held = self.training.validation
        findings: list[Finding | None] = [self.stopped, *self._examine(record)]
        findings.append(trial.round_trip(self.net, self.source.head(trial.TRIED)))
        more, usual = trial.tried(self.net, self.source, held, record.seed)
        return replace(record, findings=doctor.found(*findings, *more), usual=usual)

    def _better(self) -> bool:
        """Whether the net is surely better than the linear method it began at: by Student's
        t-test of the pairs of losses, one-sided. So is one without samples to tell by.
        """
        after = None if self.before is None else self.training.check()
        if self.before is None or after is None:
            return True
        gain = self.before - after
        least = stdtrit(len(gain) - 1, SURE) * float(gain.std()) / math.sqrt(len(gain))
        return float(gain.mean()) > least

    def train(self, callback: Callable[[Fitted], object] | None) -> Fitted:
        """Train; the record after the last epoch."""
        rows, epochs = len(self.training.losses), self._epochs()
        self.progress = Progress(
            self.plan.p.epochs,
            self.plan.p.epochs * rows,
            epoch=len(self.record.history["epoch"]) - self.first,
            done=self.training.trained,
            what=self.record.intake.what,
            unit=self.record.loss_unit,
            shown=self.plan.p.verbose,
        )
        with self.progress, closing(epochs):
            try:
                for epoch in epochs:
                    loss, val_loss = self._note(epoch)
                    self.progress.epoch_done(loss, val_loss, rows / epoch.seconds)
                    if callback is not None:
                        callback(self._seen(EXAMINED))
            except KeyboardInterrupt:
                self.best.put_back()
                if not self.net.finite:
                    raise
                raise Interrupted(self._seen(EXAMINED)) from None
        if self.plan.p.early_stopping:
            self.best.put_back()
        return self._seen(EXAMINED)

    def _epochs(self) -> Generator[Epoch, None, None]:
        """Train on, and give each epoch once its weights are in the net.

        After trouble the net has the best weights so far, and `stopped` says what it was; raises
        `InputError` where there are none yet.
        """
        self.training.on_step = self._step
        if self.kept is None:
            self._keep()
        for epoch in () if self.best.exhausted else self.training:
            self.stopped = self._trouble(epoch)
            if self.stopped is not None:
                if not self.best.weights:
                    raise InputError(f"{self.stopped.what} {self.stopped.fix}")
                self.best.put_back()
                return
            self.best.see(epoch.val_loss)
            yield epoch
            if self._due(within_epoch=False):
                self._keep()
            if self.best.exhausted:
                break
        self._keep()

    def _step(self, rows: int) -> None:
        self.progress.step(rows)
        if self._due(within_epoch=True):
            self._keep()

    def _note(self, epoch: Epoch) -> tuple[float, float | None]:
        """Add an epoch to the history, in `loss_unit`; its loss and validation loss."""
        history = self.record.history
        loss = epoch.loss * self.factor
        val_loss = math.nan if epoch.val_loss is None else epoch.val_loss * self.factor
        checked = val_loss if math.isfinite(val_loss) else None
        values = (len(history["epoch"]) + 1, loss, checked, epoch.seconds)
        for name, value in zip(HISTORY, values, strict=True):
            history[name].append(value)
        steps = (epoch.steps * self.factor).astype(np.float32)
        self.record = replace(
            self.record, step_loss=np.concatenate([self.record.step_loss, steps])
        )
        return loss, checked

    def _seen(self, n: int) -> Fitted:
        """The record, with the range of the codes of the first `n` samples."""
        self.net.eval()
        batch = self.source.head(n)
        self.codes = in_blocks(self.net, self.net.encode, batch.source, *batch.beside, wide=True)
        ends = np.quantile(self.codes.numpy(), [0.01, 0.99], axis=0).astype(np.float32)
        self.record = replace(self.record, code_range=ends)
        return self.record

    def _guess(self) -> float:
        likelihood, nats = self.net.likelihood, []
        for rows in self.source.head(EXAMINED).target.split(FEW):
            scaled = self.net.scaling(rows)
            zeros = scaled.new_zeros(len(scaled), likelihood.per_value * self.net.features)
            nats.append(likelihood.nll(zeros, scaled).detach())
        return self.factor * float(torch.cat(nats).mean())

    def _trouble(self, epoch: Epoch) -> Finding | None:
        """What is so wrong about an epoch that training stops."""
        net, history, before = self.net, self.record.history, self.record.step_loss
        steps = epoch.steps * self.factor
        if np.isfinite(steps).all():
            losses = [*history["loss"][self.first :], epoch.loss * self.factor]
            return doctor.exploding(losses, steps, self.guess)
        few = self.source.head(2)
        layer = examining.broken_layer(net, lambda: net.reconstruct(few.source, few.given))
        last = float(before[-1]) if before.size else None
        return doctor.not_finite(len(history["epoch"]) + 1, steps, last, layer)

    def _examine(self, record: Fitted) -> list[Finding]:
        """What is wrong with the model, looking at some of the training samples."""
        columns, losses = None, record.history["val_loss"]
        if record.grid is None and record.dtype == "float32":
            columns = record.columns or list(record.intake.names)
        return examining.examine(
            self.net,
            self.source.head(EXAMINED),
            self.codes,
            vectors=self.plan.p.latent_dim is not None and not self.plan.mapped,
            columns=columns,
            val_losses=[] if self.plan.p.early_stopping or None in losses else losses,
        )

    def _due(self, *, within_epoch: bool) -> bool:
        return self.checkpoints is not None and self.checkpoints.due(within_epoch=within_epoch)

    def _keep(self) -> None:
        """Write a checkpoint, unless there is one or the weights are of no use any more."""
        now = self.training.epoch, self.training.step
        if self.checkpoints is None or distributed.rank():
            return
        if self.kept == now or not self.net.finite:
            return
        training = self.net.training
        self.checkpoints.write(self._contents)
        self.net.train(training)
        self.kept = now

    def _contents(self) -> Contents:
        config, tensors = self._seen(FEW).contents()
        state = prefixed(STATE, self.training.state()) | prefixed(BEST, self.best.state())
        return config | {"training": self.origin}, tensors | state


def only_model(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model file without what a checkpoint has beside them."""
    return {n: t for n, t in tensors.items() if not n.startswith((STATE, BEST))}
