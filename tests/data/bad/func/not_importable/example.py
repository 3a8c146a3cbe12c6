def runner(runner_args, job_dict):
    return ['true']


def one(runner_args):
    return ['true']


make = lambda: {'--lr': [1]}
number = 3


def creator():
    return helper([1])


def helper(numbers):
    return numbers[3]


def generated():
    yield {'--lr': 1}
    raise ValueError('no more')


def printed():
    print('looking for data')
    raise SystemExit(3)


def grid():
    from burnish.util import create_grid_search

    return create_grid_search(3)


def uneven():
    return {'--lr': [1, 2], '--seed': [1]}


def nothing():
    pass
