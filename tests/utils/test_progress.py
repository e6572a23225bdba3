from concurrent.futures import ThreadPoolExecutor

from sklearn_prune.utils import part_done, telling


def test_only_the_innermost_listener_hears_of_the_parts_inside():
    outer, inner = [], []
    part_done("nobody listens")
    with telling(outer.append):
        part_done("first")
        with telling(inner.append):
            part_done("second")
        part_done("third")
    part_done("nobody listens any more")
    assert (outer, inner) == (["first", "third"], ["second"])


def test_threads_started_inside_report_nothing():
    heard = []
    with telling(heard.append), ThreadPoolExecutor(1) as pool:
        pool.submit(part_done, "in a thread").result()
    assert heard == []
