import pytest

from zoo.system.ranks import Place, place

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1",
}  # fmt: skip
SRUN = {
    "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "zoo", "SLURM_NTASKS": "8", "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NNODES": "2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Place()),
        (TORCHRUN, Place("torchrun", 5, 1, 4, 2)),
        ({**TORCHRUN, **SRUN}, Place("torchrun", 5, 1, 4, 2)),  # srun torchrun ...
        ({**SRUN, "SLURM_NTASKS_PER_NODE": "4"}, Place("srun", 5, 1, 4, 2)),
        ({**SRUN, "SLURM_TASKS_PER_NODE": "4(x2)"}, Place("srun", 5, 1, 4, 2)),
        (SRUN, Place("srun", 5, 1, 4, 2)),
        # a step of fewer tasks than its job
        (
            {**SRUN, "SLURM_NTASKS": "9", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_ID": "0"},
            Place("srun", 5, 1, 4, 2),
        ),
        ({**SRUN, "ENVIRONMENT": "BATCH", "SLURM_STEP_ID": "0"}, Place("srun", 5, 1, 4, 2)),
        ({**SRUN, "SLURM_JOB_NAME": "bash"}, Place()),
        ({**SRUN, "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_NNODES": "1"}, Place()),
        ({"SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"}, Place()),  # in salloc's shell
    ],
)
def test_a_process_knows_its_place_by_whoever_started_it(environment, expected):
    assert place(environment) == expected
    assert place(environment).world in (1, 8)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({**SRUN, "SLURM_TASKS_PER_NODE": "5,3"}, r"shared unequally by 2 nodes \(5,3\)"),
        ({**SRUN, "SLURM_NNODES": "3"}, "8 tasks are shared unequally by 3 nodes"),
        ({**SRUN, "ENVIRONMENT": "BATCH"}, "put srun before zoo"),
    ],
)
def test_tasks_that_cannot_train_together_are_refused(environment, said):
    with pytest.raises(ValueError, match=said):
        place(environment)
