// Stands in for Google's tasks, while the sample is compiled. Never ships.

package com.google.android.gms.tasks

fun interface OnSuccessListener<T> {
    fun onSuccess(result: T)
}

fun interface OnFailureListener {
    fun onFailure(error: Exception)
}

@Suppress("UNUSED_PARAMETER")
class Task<T> {
    fun addOnSuccessListener(listener: OnSuccessListener<in T>): Task<T> = this
    fun addOnFailureListener(listener: OnFailureListener): Task<T> = this
}
