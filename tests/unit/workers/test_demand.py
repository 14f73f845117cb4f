"""Which queues a process consumes of those that have work."""

from jobstore.queues import queue_name
from workers.demand import FAIRNESS_S, IDLE_S, Demand

A, B, C = (queue_name("cpu", name) for name in "abc")


def test_a_process_without_a_model_begins_a_few_queues_at_once():
    many = [queue_name("cpu", f"m{index}") for index in range(1000)]

    assert len(Demand(["cpu"]).choose(many, (), (), 0.0).add) == 4


def test_queues_of_loaded_models_are_taken_at_once_and_others_wait():
    assert Demand(["cpu"]).choose([A, B], (), ["b"], 0.0).add == (B,)


def test_a_queue_is_not_added_while_the_consumed_one_has_work():
    assert Demand(["cpu"]).choose([A, B], [A], ["a"], 0.0).add == ()


def test_a_queue_of_another_model_has_its_turn_when_the_loaded_ones_are_empty():
    assert Demand(["cpu"]).choose([B], [A], ["a"], 0.0).add == (B,)


def test_a_queue_of_another_model_is_not_left_out_for_ever():
    demand = Demand(["cpu"])
    demand.choose([A, B, C], [A], ["a"], 0.0)

    assert demand.choose([A, B, C], [A], ["a"], FAIRNESS_S - 0.1).add == ()
    assert demand.choose([A, B, C], [A], ["a"], FAIRNESS_S).add == (B,)


def test_a_queue_that_was_empty_in_between_waits_anew():
    demand = Demand(["cpu"])
    demand.choose([A, B], [A], ["a"], 0.0)
    demand.choose([A], [A], ["a"], FAIRNESS_S - 1)
    demand.choose([A, B], [A], ["a"], FAIRNESS_S)

    assert demand.choose([A, B], [A], ["a"], FAIRNESS_S + 1).add == ()


def test_a_queue_is_let_go_when_it_has_been_idle_for_long():
    demand = Demand(["cpu"])
    demand.choose([A], [A, B], ["a", "b"], 0.0)

    assert demand.choose([A], [A, B], ["a", "b"], IDLE_S).drop == ()
    assert demand.choose([A], [A, B], ["a", "b"], IDLE_S + 1).drop == (B,)


def test_only_queues_of_pinned_models_are_consumed_on_every_class_that_is_served():
    demand = Demand(["gpu-sm90", "gpu-any"], models=["b"])
    wanted = [queue_name(hardware, model) for hardware in ("gpu-sm90", "gpu-any") for model in "ab"]

    added = demand.choose(wanted, (), (), 0.0).add

    assert set(added) == {queue_name("gpu-sm90", "b"), queue_name("gpu-any", "b")}


def test_the_number_of_consumed_queues_is_bounded_and_the_longest_consumed_goes_first():
    demand = Demand(["cpu"])
    held = [queue_name("cpu", f"m{index:02d}") for index in range(32)]
    demand.choose(held, held[:1], (), 0.0)
    demand.choose([*held, A], held, (), 1.0)

    change = demand.choose([*held, A], held, (), 1.0 + FAIRNESS_S)

    assert change == type(change)(add=(A,), drop=(held[0],))
