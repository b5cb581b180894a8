// Stands in for Google's tasks, while the adapters are compiled and tested without them. Never ships.

@file:Suppress("NO_EXPLICIT_VISIBILITY_IN_API_MODE", "NO_EXPLICIT_RETURN_TYPE_IN_API_MODE")

package com.google.android.gms.tasks

fun interface OnSuccessListener<T> {
    fun onSuccess(result: T)
}

fun interface OnFailureListener {
    fun onFailure(error: Exception)
}

/** Done from the start, or never. */
class Task<T>(private val outcome: Result<T>? = null) {
    fun addOnSuccessListener(listener: OnSuccessListener<in T>): Task<T> {
        outcome?.onSuccess(listener::onSuccess)
        return this
    }

    fun addOnFailureListener(listener: OnFailureListener): Task<T> {
        outcome?.onFailure { listener.onFailure(it as Exception) }
        return this
    }
}
