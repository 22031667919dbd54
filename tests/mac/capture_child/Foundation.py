"""FAKE: the run loop of the thread that asks for it."""

import time

import fake_mac


class NSDate:
    @staticmethod
    def dateWithTimeIntervalSinceNow_(seconds):
        return time.monotonic() + seconds


class NSRunLoop:
    @staticmethod
    def currentRunLoop():
        return NSRunLoop()

    def runUntilDate_(self, date):
        fake_mac.turn(date - time.monotonic())
