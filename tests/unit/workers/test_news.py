"""What a process does when it hears that work was handed over."""

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tests.fixtures.fleet import wait_until
from workers import app
from workers.demand import Demand
from workers.news import News

QUEUE = "infer.cpu.m"


class Bell:
    """Rings once for each word that it is given."""

    def __init__(self):
        self.rung = threading.Semaphore(0)

    @contextmanager
    def listening(self):
        yield lambda seconds: self.rung.acquire(timeout=seconds)


class Store:
    def queues_with_work(self, hardware):
        return [QUEUE]


class Reserve:
    """Counts looks."""

    def __init__(self):
        self.looked = []
        self.runtime = SimpleNamespace(store=SimpleNamespace(fleet=Store()), models=SimpleNamespace(references=list))

    def look(self, queues):
        self.looked.append(queues)


@pytest.fixture
def bell():
    return Bell()


@pytest.fixture
def news(bell):
    stopped, news = threading.Event(), News(bell)
    thread = threading.Thread(target=news.run, args=(stopped,))
    thread.start()
    yield news
    stopped.set()
    thread.join()


def test_an_announcement_is_heard(bell, news):
    assert not news.heard.is_set()

    bell.rung.release()

    assert news.heard.wait(30)


def test_who_hears_of_work_looks_at_once(bell, news, monkeypatch):
    monkeypatch.setattr(app, "DEMAND_INTERVAL_S", 3600.0)
    reserve = Reserve()
    consumer = SimpleNamespace(
        app=SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={QUEUE: None}))),
        call_soon=lambda *_: None, add_task_queue=None, cancel_task_queue=None,
    )  # fmt: skip
    step = app.demand_step(reserve, Demand(["cpu"]), news)(consumer)
    step.start(consumer)
    wait_until(lambda: len(reserve.looked) == 1)

    bell.rung.release()

    wait_until(lambda: len(reserve.looked) == 2)
    step.stop(consumer)
    news.heard.set()
    assert reserve.looked == [{QUEUE}] * 2
