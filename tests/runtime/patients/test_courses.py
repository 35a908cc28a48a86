"""Courses that are kept up to date image by image."""

from __future__ import annotations

from exam_makers import course_exam, course_key

from lungsev.runtime.patients.courses import Courses

ONE, OTHER = course_key("PHANTOM-1"), course_key("OTHER")


def ids(courses: Courses, course: str = ONE) -> list[str]:
    return [exam.id for exam in courses.of(course)]


def test_images_are_sorted_by_the_time_they_were_taken_in_whatever_order_they_come() -> None:
    courses = Courses()
    courses.update([], [course_exam(3, 9), course_exam(3, 0, name="b")])
    courses.update([], [course_exam(3, 0, name="a"), course_exam(3, 4)])
    assert ids(courses) == ["a", "b", "image-4-3", "image-9-3"]


def test_an_image_that_was_replaced_is_in_its_course_once() -> None:
    courses = Courses()
    before, after = course_exam(3, 0, name="a"), course_exam(5, 2, name="a")
    courses.update([], [before, course_exam(4, 1)])
    courses.update([before], [after])
    assert ids(courses) == ["image-1-4", "a"]
    assert courses.of(ONE)[1] is after


def test_an_image_that_changed_hands_leaves_its_course() -> None:
    courses = Courses()
    before, after = course_exam(3, 0, name="a"), course_exam(3, 0, name="a", patient="OTHER")
    courses.update([], [before])
    courses.update([before], [after])
    assert (ids(courses), ids(courses, OTHER)) == ([], ["a"])
    assert set(courses.all()) == {OTHER}
    assert courses.changed_since(1) == {ONE, OTHER}


def test_only_patients_with_news_count_as_changed() -> None:
    courses = Courses()
    courses.update([], [course_exam(3, 0), course_exam(3, 0, patient="OTHER")])
    version, kept = courses.version, courses.of(OTHER)
    courses.update([], [course_exam(4, 1)])
    assert courses.changed_since(version) == {ONE}
    assert courses.of(OTHER) is kept
    assert courses.changed_since(courses.version) == frozenset()
    courses.update([], [])
    assert courses.version == version + 1


def test_what_was_returned_does_not_change_later() -> None:
    courses = Courses()
    courses.update([], [course_exam(3, 0)])
    before = courses.all()
    courses.update([], [course_exam(4, 1)])
    assert [len(course) for course in before.values()] == [1]
