import pytest

from zoo.entry import compose
from zoo.system.hardware import check_strategy

SHARDED = ["fsdp", "fsdp2", "FSDP", "fsdp_cpu_offload", "deepspeed", "deepspeed_stage_2",
           "model_parallel", "ddp_sharded", "colossalai"]  # fmt: skip
SPAWNED = ["ddp_spawn", "ddp_fork", "ddp_notebook", "dp", "ddp_spawn_find_unused_parameters_true"]


@pytest.mark.parametrize("name", ["auto", "ddp", "ddp_find_unused_parameters_true"])
def test_engines_that_give_the_run_of_one_process_are_there(name):
    assert check_strategy(name) == name


@pytest.mark.parametrize(
    ("names", "said"),
    [(SHARDED, "use ddp, and where memory is short"), (SPAWNED, "use ddp"),
     (["horovod", "nonsense"], "possible are auto, ddp")],
    ids=["sharded", "spawned", "unknown"],
)  # fmt: skip
def test_others_are_refused_by_name_with_what_to_use(names, said):
    for name in names:
        with pytest.raises(ValueError, match=said):
            check_strategy(name)
    with pytest.raises(ValueError, match=f"trainer.strategy={names[0]}: .*{said}"):
        compose("train", [f"trainer.strategy={names[0]}"])


@pytest.mark.parametrize("name", ["fsdp", "deepspeed"])
def test_a_trainer_that_is_not_offered_says_what_is(name):
    with pytest.raises(ValueError, match=f"no trainer called '{name}': .*use ddp"):
        compose("train", [f"trainer={name}"])


@pytest.mark.parametrize("name", ["auto", "cpu", "gpu", "ddp", "slurm"])
def test_every_trainer_says_how_many_processes_and_how(name):
    trainer = compose("train", [f"trainer={name}"]).trainer
    assert {"strategy", "devices", "num_nodes"} <= set(trainer)
