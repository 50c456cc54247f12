"""UMT's tasks by name."""

from ml_collections import ConfigDict

from jaxvision.methods.umt.detection.task import ActionDetectionTask
from jaxvision.methods.umt.language.multiple_choice import MultipleChoiceTask
from jaxvision.methods.umt.language.pairs_task import RetrievalTask
from jaxvision.methods.umt.language.question_task import QuestionTask
from jaxvision.methods.umt.language.stage2_task import Stage2Task
from jaxvision.methods.umt.language.teacher_task import TeacherTask
from jaxvision.methods.umt.stage1_task import Stage1Task
from jaxvision.tasks import dispatch, frozen_head
from jaxvision.tasks.clip_classification import ClipClassification
from jaxvision.training.task import Task

TASKS: dispatch.Tasks = {
    "teacher": TeacherTask,
    "stage1": Stage1Task,
    "classification": ClipClassification,
    frozen_head.TASK: ClipClassification,
    "detection": ActionDetectionTask,
    "stage2": Stage2Task,
    "retrieval": RetrievalTask,
    "multiple_choice": MultipleChoiceTask,
    "question_answering": QuestionTask,
}


def make_task(config: ConfigDict) -> Task:
    """The task of a UMT recipe: `task.name` says which."""
    return dispatch.make(TASKS, config)
