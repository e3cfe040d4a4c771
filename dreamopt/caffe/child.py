"""What a process that a script's multiprocessing spawns imports as its main module: the script, with ``caffe`` meaning dreamopt's."""

import os

from dreamopt.caffe import alias, script

if __name__ == "__mp_main__":
    alias.install(old_names=True)
    __file__ = os.environ[script.SCRIPT]
    script.execute(__file__, globals())
